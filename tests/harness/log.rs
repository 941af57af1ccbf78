//! The records of a log, read from its files.

use std::collections::HashMap;
use std::path::Path;

use cage::recovery;
use cage_engine::{Lsn, Record, RequestId};
use cage_wal::{Limits, ScanReport, scan};

/// All records of the log in a data directory, and what its files say of it.
pub(crate) fn records(data_dir: &Path) -> (Vec<(Lsn, Record)>, ScanReport) {
    let mut records = Vec::new();
    let report = scan(&data_dir.join("log"), Limits::default(), |frame| {
        for (lsn, record) in recovery::records(&frame)? {
            records.push((lsn, record?));
        }
        Ok::<_, recovery::ReplayFault>(())
    });
    (records, report.expect("the log can be read"))
}

/// Where each id that a caller chose stands. No id may stand twice.
pub(crate) fn places(records: &[(Lsn, Record)]) -> HashMap<RequestId, (Lsn, Record)> {
    let mut places = HashMap::new();
    for (lsn, record) in records.iter().filter(|(_, record)| record.request.id != RequestId::NONE) {
        let before = places.insert(record.request.id, (*lsn, *record));
        assert!(before.is_none(), "{} stands in the log twice, the second time at {lsn}", record.request.id);
    }
    places
}
