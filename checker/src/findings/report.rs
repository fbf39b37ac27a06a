//! What was found about several properties, along with a run.

use squall_protocol::verdict::{Property, Violation};

use super::of_property::{EXAMPLES, Finding, Findings, Place};

/// What was found about several properties, reported as it becomes certain.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    findings: Vec<Findings>,
    /// What is to be reported: of each property only the first few.
    found: Vec<Finding>,
}

impl Report {
    pub fn new(properties: impl IntoIterator<Item = Property>) -> Self {
        Report {
            findings: properties.into_iter().map(Findings::new).collect(),
            found: Vec::new(),
        }
    }

    /// What was found about one of the properties.
    pub fn of(&mut self, property: Property) -> &mut Findings {
        let mut all = self.findings.iter_mut();
        let found = all.find(|findings| findings.is_of(property));
        found.expect("it is one of the properties")
    }

    /// Counts a violation that shows at the event of that place.
    pub fn violate(
        &mut self,
        property: Property,
        place: impl Into<Place>,
        explain: impl FnOnce() -> Violation,
    ) {
        self.violate_times(property, 1, place, explain);
    }

    /// Counts several violations that share one explanation.
    pub fn violate_times(
        &mut self,
        property: Property,
        times: u64,
        place: impl Into<Place>,
        explain: impl FnOnce() -> Violation,
    ) {
        let reported = self.found.iter().filter(|f| f.property == property);
        if reported.count() == EXAMPLES {
            self.of(property).violate_times(times, place, explain);
        } else {
            let violation = explain();
            self.found.push(Finding {
                property,
                violation: violation.clone(),
            });
            self.of(property).violate_times(times, place, || violation);
        }
    }

    /// What is to be reported since this was last asked.
    pub fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// What was found in all.
    pub fn take_findings(&mut self) -> Vec<Findings> {
        std::mem::take(&mut self.findings)
    }
}
