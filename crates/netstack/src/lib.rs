//! TCP/IP in user space for rootless tunnels.
