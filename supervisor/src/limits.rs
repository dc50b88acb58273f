//! Every bound of the supervisor in one place, asserted against each other. Those of the contract are in
//! `fazt_ipc::limits`.
