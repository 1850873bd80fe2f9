//! Sound and text as devices and tools really send them.
