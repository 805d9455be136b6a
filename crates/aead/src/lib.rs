//! ChaCha20-Poly1305 over batches of packets, written at a stride into the caller's slab.
