//! Topics, partitions and groups that change while they are read.
