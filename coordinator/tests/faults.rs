//! Every fault has an effect, and its end ends it: a small fleet without a storm, one fault at a time by way of
//! the nemesis, and looks at the victim from outside, before, meanwhile and afterwards. A fault that did nothing
//! would pass every check.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use squall_coordinator::exit::Failure;
use squall_coordinator::faults::nemesis::{Active, Nemesis};
use squall_coordinator::faults::{self, Doing, FaultError, FaultKind, KINDS, Sighting, Target};
use squall_coordinator::fleet::Fleet;
use squall_coordinator::fleet::environment::Environment;
use squall_coordinator::plan::{self, Count, Kind, Victims};
use squall_coordinator::recorder::Recorder;
use squall_coordinator::run::{self, first_sync};
use squall_coordinator::system::options::{
    BackendChoice, EnvironmentOptions, FIRST_SYNC_DEADLINE, ServiceChoice,
};
use squall_protocol::fault::{Fault, Victim};
use squall_protocol::plan::{ClientKind, ClientSpec, Plan, PlanOptions, PlannedFault, Workload};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long an effect, and the recovery from it, may take to be seen. Seen at once, however long this is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an effect that there is not is waited for.
const IN_VAIN: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(50);

/// A small fleet at rest.
struct World {
    folder: tempfile::TempDir,
    plan: Plan,
    recorder: Recorder,
    environment: Arc<Environment>,
    fleet: Fleet,
    active: Active,
}

impl World {
    async fn start(fleet: plan::Fleet) -> World {
        World::start_clients(plan::clients(&fleet)).await
    }

    async fn start_clients(clients: Vec<ClientSpec>) -> World {
        let folder = tempfile::tempdir().unwrap();
        let options = PlanOptions {
            faults: faults::names().map(str::to_owned).collect(),
            ..plan::default_options(Workload::Mww, 10)
        };
        let plan = plan::make(1, options, clients, &faults::plannable());
        let history = folder.path().join("history.jsonl");
        let recorder = Recorder::create(&history, &run::header(&plan), false).unwrap();
        let options = EnvironmentOptions {
            plan: plan.options.clone(),
            clients: plan.clients.clone(),
            programs: BTreeMap::new(),
            database_url: None,
            service: ServiceChoice::Embedded,
            backend: BackendChoice::default(),
            first_sync_deadline: FIRST_SYNC_DEADLINE,
            folder: folder.path().to_owned(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_squall")),
        };
        let never = CancellationToken::new();
        let started = async {
            let environment = Environment::start(options, &recorder, &never).await?;
            let environment = Arc::new(environment.expect("nobody interrupts"));
            let fleet = Fleet::start(&environment, &plan.clients, &recorder, false, &never).await?;
            let fleet = fleet.expect("nobody interrupts");
            first_sync::wait(&fleet, PATIENCE).await?;
            Ok::<_, Failure>((environment, fleet))
        };
        let (environment, fleet) = started.await.unwrap_or_else(|failure| panic!("{failure}"));
        World {
            folder,
            plan,
            recorder,
            environment,
            fleet,
            active: Active::default(),
        }
    }

    fn history(&self) -> String {
        fs::read_to_string(self.folder.path().join("history.jsonl")).unwrap()
    }

    async fn stop(self) {
        self.fleet.stop().await;
        let environment = Arc::into_inner(self.environment).expect("nobody else has it");
        environment.stop().await;
    }

    /// One victim of each sort.
    fn victims(&self, kind: &dyn FaultKind) -> Vec<Victim> {
        let mut victims = kind.victims().among(&self.plan.clients);
        let sort = |victim: &mut Victim| match *victim {
            Victim::Client(client) | Victim::Browser(client) => {
                Some(self.plan.clients[client].kind)
            }
            Victim::Server(_) => None,
        };
        victims.dedup_by_key(sort);
        victims
    }

    /// Causes a fault, sees its effect within `patience`, ends it, and sees that its victim is as before.
    async fn prove(
        &self,
        kind: &dyn FaultKind,
        fault: &Fault,
        victim: Victim,
        patience: Duration,
    ) -> Result<(), String> {
        let target = Target {
            victim,
            fleet: &self.fleet,
            environment: &self.environment,
        };
        let name = self.plan.victim_name(victim);
        let what = format!("{} on {name}", serde_json::to_string(fault).unwrap());
        let (at_rest, on) = (kind.state_at_rest(), kind.state_while_on(fault));
        // Whatever was before may have left the victim busy.
        let before = self
            .look(kind, &target, PATIENCE, |seen| seen.state == at_rest)
            .await
            .map_err(|seen| format!("{what}: before: {seen}"))?;
        let planned = PlannedFault {
            at_ms: 0,
            duration_ms: if kind.lasts() { 600_000 } else { 0 },
            victim,
            fault: fault.clone(),
        };
        let over = CancellationToken::new();
        let nemesis = Nemesis {
            environment: &self.environment,
            fleet: &self.fleet,
            recorder: &self.recorder,
            active: &self.active,
        };
        let meanwhile = async {
            let is_on = |seen: &Sighting| seen.state == on && *seen != before;
            let seen = self.look(kind, &target, patience, is_on).await;
            over.cancel();
            seen.map_err(|seen| format!("{what}: no `{on}`, but {seen}"))
        };
        let injection = nemesis.inject(kind, name, 0, &planned, &over);
        let (seen, ()) = tokio::join!(meanwhile, injection);
        let seen = seen?;
        let is_as_before =
            |seen: &Sighting| seen.state == at_rest && (seen.life != before.life) == kind.renews();
        let after = self
            .look(kind, &target, PATIENCE, is_as_before)
            .await
            .map_err(|seen| format!("{what}: not again {before:?}, but {seen}"))?;
        for seen in [seen, after] {
            if seen.kept != before.kept {
                return Err(format!("{what}: not kept: {before:?}, but {seen:?}"));
            }
        }
        Ok(())
    }

    /// What is seen of a tab.
    async fn tab(&self, tab: usize) -> Sighting {
        let target = Target {
            victim: Victim::Client(tab),
            fleet: &self.fleet,
            environment: &self.environment,
        };
        let kind = faults::find("tab.reload").unwrap();
        kind.observe(&target).await.unwrap()
    }

    /// Looks until the victim is seen to be like that; else the last that was seen.
    async fn look(
        &self,
        kind: &dyn FaultKind,
        target: &Target<'_>,
        patience: Duration,
        is_wanted: impl Fn(&Sighting) -> bool,
    ) -> Result<Sighting, String> {
        let until = Instant::now() + patience;
        loop {
            let seen = timeout(PATIENCE, kind.observe(target)).await;
            let seen = seen.map_err(|_| "no end of looking".to_owned())?;
            match seen {
                Ok(seen) if is_wanted(&seen) => return Ok(seen),
                seen if Instant::now() > until => return Err(format!("{seen:?}")),
                _ => sleep(PAUSE).await,
            }
        }
    }
}

/// A kind of fault that is not what it should be.
struct Altered {
    of: &'static dyn FaultKind,
    flaw: Flaw,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// It does nothing at all.
    Idle,
    /// It begins, but its end fails.
    Endless,
}

impl Kind for Altered {
    fn name(&self) -> &'static str {
        self.of.name()
    }

    fn victims(&self) -> Victims {
        self.of.victims()
    }

    fn lasts(&self) -> bool {
        self.of.lasts()
    }
}

impl FaultKind for Altered {
    fn begin<'a>(&'a self, target: &'a Target<'a>, fault: &'a Fault) -> Doing<'a, ()> {
        match self.flaw {
            Flaw::Idle => Box::pin(async { Ok(()) }),
            Flaw::Endless => self.of.begin(target, fault),
        }
    }

    fn end<'a>(&'a self, _: &'a Target<'a>, _: &'a Fault) -> Doing<'a, ()> {
        Box::pin(async {
            match self.flaw {
                Flaw::Idle => Ok(()),
                Flaw::Endless => Err(FaultError::Unseen("no end of it".to_owned())),
            }
        })
    }

    fn observe<'a>(&'a self, target: &'a Target<'a>) -> Doing<'a, Sighting> {
        self.of.observe(target)
    }

    fn state_at_rest(&self) -> String {
        self.of.state_at_rest()
    }

    fn state_while_on(&self, fault: &Fault) -> String {
        self.of.state_while_on(fault)
    }

    fn renews(&self) -> bool {
        self.of.renews()
    }
}

fn block_on(proof: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, proof);
}

#[test]
fn every_fault_has_its_effect_and_one_without_would_be_found() {
    block_on(async {
        let fleet = vec![
            (ClientKind::Native, 1),
            (ClientKind::Wasm, 1),
            (ClientKind::Postgres, 1),
        ];
        let world = World::start(fleet).await;
        idle_faults_are_found(&world).await;
        prove_all(&world, &KINDS).await;
        a_fault_that_does_not_end_is_given_up(&world).await;
        world.stop().await;
    });
}

#[test]
#[ignore = "needs Firefox: ./squall self-test --firefox"]
fn every_fault_of_a_tab_has_its_effect_in_firefox() {
    block_on(async {
        let world = World::start(vec![(ClientKind::WasmFirefox, 1)]).await;
        let of_tabs = |kind: &&dyn FaultKind| match kind.victims() {
            Victims::Clients(fits) | Victims::Devices(fits) => fits(ClientKind::WasmFirefox),
            Victims::Server(..) => false,
        };
        let kinds: Vec<_> = KINDS.into_iter().filter(of_tabs).collect();
        assert!(kinds.len() >= 7, "{}", kinds.len());
        prove_all(&world, &kinds).await;
        world.stop().await;
    });
}

#[test]
fn a_fault_hits_one_tab_of_a_browser_or_all_of_them() {
    block_on(async {
        let (devices, tabs) = (1, 2);
        let kind = ClientKind::PowersyncWeb;
        let clients = plan::clients_of(kind.name(), kind, Count { devices, tabs });
        let world = World::start_clients(clients.collect()).await;
        for name in ["tab.reload", "tab.close", "client.disconnect"] {
            for (tab, other) in [(0, 1), (1, 0)] {
                let kind = faults::find(name).unwrap();
                let before = world.tab(other).await;
                prove_one(&world, kind, Victim::Client(tab)).await;
                assert_eq!(world.tab(other).await, before, "{name} on {tab}");
            }
        }
        for name in [
            "tab.offline",
            "net.partition",
            "browser.pause",
            "browser.kill",
        ] {
            let kind = faults::find(name).unwrap();
            let victims = kind.victims().among(&world.plan.clients);
            assert_eq!(victims, [Victim::Browser(0)], "{name}");
            let before = [world.tab(0).await, world.tab(1).await];
            prove_one(&world, kind, victims[0]).await;
            for (tab, before) in before.into_iter().enumerate() {
                let after = world.tab(tab).await;
                let renewed = after.life != before.life;
                assert_eq!(renewed, kind.renews(), "{name}: {before:?} {after:?}");
                assert_eq!(after.kept, before.kept, "{name}");
            }
        }
        let sessions = [0, 1].map(|tab| world.fleet.clients[tab].link.session());
        assert_eq!(sessions[0], sessions[1]);
        world.stop().await;
    });
}

async fn prove_one(world: &World, kind: &dyn FaultKind, victim: Victim) {
    let fault = &kind.variants()[0];
    let proven = world.prove(kind, fault, victim, PATIENCE).await;
    proven.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn prove_all(world: &World, kinds: &[&dyn FaultKind]) {
    let mut failures = Vec::new();
    for kind in kinds {
        for fault in kind.variants() {
            let victims = world.victims(*kind);
            assert!(!victims.is_empty(), "{}", kind.name());
            for victim in victims {
                if let Err(failure) = world.prove(*kind, &fault, victim, PATIENCE).await {
                    failures.push(failure);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let history = world.history();
    for unwanted in ["trouble", "fault-given-up", "fault-skipped"] {
        assert!(!history.contains(&format!("\"{unwanted}\"")), "{history}");
    }
}

/// The proof of each kind fails when nothing is done. All at once: nothing is done.
async fn idle_faults_are_found(world: &World) {
    let idle: Vec<Altered> = KINDS
        .into_iter()
        .map(|of| Altered {
            of,
            flaw: Flaw::Idle,
        })
        .collect();
    let proofs = idle.iter().map(|kind| async move {
        for fault in kind.of.variants().iter().take(1) {
            let victim = world.victims(kind)[0];
            let proof = world.prove(kind, fault, victim, IN_VAIN).await;
            let failure = proof.expect_err(kind.name());
            assert!(failure.contains(": no `"), "{failure}");
        }
    });
    futures_util::future::join_all(proofs).await;
}

/// It is ended by force, and the history says so.
async fn a_fault_that_does_not_end_is_given_up(world: &World) {
    for name in [
        "client.pause",
        "client.kill",
        "net.partition",
        "tab.close",
        "service.kill",
        "postgres.restart",
        "backend.drop-ack",
    ] {
        let of = faults::find(name).unwrap();
        let kind = Altered {
            of,
            flaw: Flaw::Endless,
        };
        let victim = world.victims(of)[0];
        let fault = &of.variants()[0];
        let before = world.history().matches("\"fault-given-up\"").count();
        world
            .prove(&kind, fault, victim, PATIENCE)
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
        let history = world.history();
        let after = history.matches("\"fault-given-up\"").count();
        assert_eq!(after, before + 1, "{name}: {history}");
        let trouble = format!("the fault {name} on ");
        assert!(history.contains(&trouble), "{history}");
    }
}
