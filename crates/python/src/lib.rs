//! The Python module wirewright._core: thin bindings, one file an exposed object.
