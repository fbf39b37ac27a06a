//! What was found about several properties, along with a run.

use squall_protocol::verdict::{Property, Violation};

use super::of_property::{EXAMPLES, Finding, Findings};

/// What was found about several properties, reported as it becomes certain.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    findings: Vec<Findings>,
    /// What is to be report: of each property only the first few.
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
        place: usize,
        explain: impl FnOnce() -> Violation,
    ) {
        self.violate_times(property, 1, place, explain);
    }

    /// Counts several violations that share one explanation.
    pub fn violate_times(
        &mut self,
        property: Property,
        times: u64,
        place: usize,
        explain: impl FnOnce() -> Violation,
    ) {
        let reported = self.found.iter().filter(|f| f.property == property);
        if reported.count() == EXAMPLES {
            self.of(property).violate_times(times, place, explain);
        } else {
            let violation = explain();
            self.report(property, violation.clone());
            self.of(property).violate_times(times, place, || violation);
        }
    }

    /// Reports a violation that is counted elsewhere.
    pub fn report(&mut self, property: Property, violation: Violation) {
        self.found.push(Finding {
            property,
            violation,
        });
    }

    /// What is to be reported since this was last asked.
    pub fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    pub fn into_findings(self) -> Vec<Findings> {
        self.findings
    }
}
