//! What speaks for and against a property.

use squall_protocol::verdict::{Judgement, Property, PropertyVerdict, Violation};

/// How many violations of a property are told in words; all are counted.
pub(crate) const EXAMPLES: usize = 5;

/// A violation that was found while the run went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub property: Property,
    pub violation: Violation,
}

/// Where a violation shows: the place of an event in the history, and a rank among those that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub usize, pub usize);

impl From<usize> for Place {
    fn from(event: usize) -> Self {
        Place(event, 0)
    }
}

/// What was found about one property so far.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    property: Property,
    exercised: u64,
    violations: u64,
    /// The examples with their places in the history, earliest first.
    examples: Vec<(Place, Violation)>,
    /// What was left out, without consequence for the judgement.
    remarks: Vec<String>,
    /// Why nothing can be concluded, unless there is a violation.
    doubts: Vec<String>,
    /// Whether the property says anything about this history at all.
    applies: bool,
}

impl Findings {
    pub fn new(property: Property) -> Self {
        Findings {
            property,
            exercised: 0,
            violations: 0,
            examples: Vec::new(),
            remarks: Vec::new(),
            doubts: Vec::new(),
            applies: true,
        }
    }

    /// Counts comparisons that could have failed.
    pub fn exercise(&mut self, comparisons: u64) {
        self.exercised += comparisons;
    }

    /// Counts a violation that shows at the record with index `place`. It is put into words only if
    /// it is among the first in the history.
    pub fn violate(&mut self, place: impl Into<Place>, explain: impl FnOnce() -> Violation) {
        self.violate_times(1, place, explain);
    }

    /// Counts several violations that share one explanation.
    pub fn violate_times(
        &mut self,
        times: u64,
        place: impl Into<Place>,
        explain: impl FnOnce() -> Violation,
    ) {
        let place = place.into();
        self.violations += times;
        if self.examples.len() == EXAMPLES {
            if self.examples.last().is_some_and(|(last, _)| *last <= place) {
                return;
            }
            self.examples.pop();
        }
        let at = self.examples.partition_point(|(other, _)| *other <= place);
        self.examples.insert(at, (place, explain()));
    }

    /// The first violation, for whoever watches.
    pub fn first(&self) -> Option<Finding> {
        let (_, violation) = self.examples.first()?;
        Some(Finding {
            property: self.property,
            violation: violation.clone(),
        })
    }

    /// Counts a violation, and reports it to whoever watches.
    pub fn report(&mut self, place: usize, violation: Violation, found: &mut Vec<Finding>) {
        found.push(Finding {
            property: self.property,
            violation: violation.clone(),
        });
        self.violate(place, || violation);
    }

    /// Notes what was left out.
    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Notes why nothing can be concluded, unless there is a violation.
    pub fn doubt(&mut self, text: String) {
        self.doubts.push(text);
    }

    /// Whether these are of that property.
    pub fn is_of(&self, property: Property) -> bool {
        self.property == property
    }

    /// Whether these are of that property, which was never put to the test.
    pub fn is_untested(&self, property: Property) -> bool {
        self.property == property && self.judgement() == Judgement::Unknown && self.exercised == 0
    }

    /// The property says nothing about this history, and why.
    pub fn does_not_apply(&mut self, why: &str) {
        self.applies = false;
        self.remarks.push(why.to_owned());
    }

    /// Whether the property speaks against an `ok` for the whole history.
    pub fn leaves_doubt(&self) -> bool {
        self.applies && self.judgement() != Judgement::Ok
    }

    fn judgement(&self) -> Judgement {
        if self.violations > 0 {
            Judgement::Violation
        } else if self.exercised == 0 || !self.doubts.is_empty() {
            Judgement::Unknown
        } else {
            Judgement::Ok
        }
    }

    pub fn into_verdict(self) -> PropertyVerdict {
        let judgement = self.judgement();
        let mut notes = self.doubts;
        notes.extend(self.remarks);
        if notes.is_empty() && self.exercised == 0 && self.violations == 0 {
            notes.push("never put to the test: nothing in the history could have broken it".into());
        }
        PropertyVerdict {
            property: self.property,
            judgement,
            exercised: self.exercised,
            violations: self.violations,
            examples: self.examples.into_iter().map(|(_, e)| e).collect(),
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(number: u64) -> Violation {
        Violation {
            summary: String::new(),
            operations: vec![number],
            evidence: Vec::new(),
        }
    }

    #[test]
    fn the_first_violations_in_the_history_are_told() {
        let mut findings = Findings::new(Property::MonotonicReads);
        for place in [9, 4, 8, 3, 7, 6, 2, 5, 1, 9, 1] {
            findings.violate(place, || violation(place as u64));
        }
        let verdict = findings.into_verdict();
        assert_eq!(verdict.violations, 11);
        let first = verdict.examples.iter().map(|example| example.operations[0]);
        assert!(first.eq([1, 1, 2, 3, 4]));
        // Why, although no comparison was counted, needs no words.
        assert_eq!(verdict.note, None);
    }

    #[test]
    fn a_violation_is_told_in_words_only_if_it_is_among_the_first() {
        let mut findings = Findings::new(Property::MonotonicReads);
        for place in 0..EXAMPLES {
            findings.violate(place, || violation(0));
        }
        findings.violate(EXAMPLES - 1, || unreachable!("it is not shown"));
    }

    #[test]
    fn what_was_in_doubt_was_not_untested() {
        let follow = Property::WritesFollowReads;
        let mut findings = Findings::new(follow);
        assert!(findings.is_untested(follow));
        assert!(!findings.is_untested(Property::MonotonicReads));
        assert!(findings.leaves_doubt());
        findings.exercise(1);
        assert!(!findings.is_untested(follow));
        assert!(!findings.leaves_doubt());
        findings.doubt("something was missing".to_owned());
        assert!(!findings.is_untested(follow));
        assert!(findings.leaves_doubt());
        findings.does_not_apply("no reason");
        assert!(!findings.leaves_doubt());
    }
}
