//! What tests share: the tiny checkpoint, the goldens, relative L2.
