//! Capture: the sockets that redirected connections arrive at, and where those connections were going.

pub mod listen;
pub mod original_dst;
