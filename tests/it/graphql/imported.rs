//! imported
