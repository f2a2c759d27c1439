//! Chunk bookkeeping: from a CID to a file on disk.
