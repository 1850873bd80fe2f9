//! Pictures as cameras and tools really send them.
