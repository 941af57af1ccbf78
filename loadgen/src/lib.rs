//! Closed- and open-loop load over QUIC.
