//! What Tresor wants to reach beside its peers, figure by figure, and whether it does.

use serde::Serialize;

use super::figures::{Figures, Row, Step};
use super::tool::{BENJI, BORG_FIXED, CP, RESTIC, TRESOR, VAULT, ZSTD};

/// MiB of memory that no step may need.
const MEMORY: f64 = 192.0;

/// One figure to reach.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Target {
    pub(super) name: String,
    /// Tresor's figure by the peer's; of the last row, MiB.
    pub(super) ratio: Option<f64>,
    pub(super) limit: f64,
    /// Unknown without the peer.
    pub(super) met: Option<bool>,
    /// The peer, or why there is none.
    pub(super) against: String,
}

/// With whom a figure is compared.
#[derive(Clone, Copy)]
enum Against {
    One(&'static str),
    /// The one with the least of all that store what backups share only once.
    BestDedup,
}

/// Which figure.
#[derive(Clone, Copy)]
enum Of {
    Wall,
    Cpu,
    Stored,
}

/// A row of the table of targets: what is compared, with whom, and the limit.
struct Rule(&'static str, Of, Step, Against, f64);

/// All figures that are a quotient of one step of Tresor and the same step of a peer.
const RULES: [Rule; 15] = [
    Rule("first backup D0: wall, restic", Of::Wall, Step::First, Against::One(RESTIC), 0.25),
    Rule("first backup D0: wall, fastest peer", Of::Wall, Step::First, Against::BestDedup, 0.60),
    Rule("first backup D0: wall, zstd -1 -T2", Of::Wall, Step::First, Against::One(ZSTD), 1.0),
    Rule("first backup D0: CPU, restic", Of::Cpu, Step::First, Against::One(RESTIC), 0.30),
    Rule("listed D1: wall, benji", Of::Wall, Step::Listed, Against::One(BENJI), 0.30),
    Rule("next D1: wall, restic", Of::Wall, Step::Next, Against::One(RESTIC), 0.20),
    Rule("next D1: wall, fastest peer", Of::Wall, Step::Next, Against::BestDedup, 0.50),
    Rule("sibling D2: wall, restic", Of::Wall, Step::Sibling, Against::One(RESTIC), 0.30),
    Rule("sibling D2: bytes added, best peer", Of::Stored, Step::Sibling, Against::BestDedup, 1.0),
    Rule("restore D1: wall, fastest peer", Of::Wall, Step::Restore, Against::BestDedup, 0.50),
    Rule("restore D1: wall, cp --sparse", Of::Wall, Step::Restore, Against::One(CP), 1.3),
    Rule("deep verify: wall, fastest peer", Of::Wall, Step::Verify, Against::BestDedup, 0.30),
    Rule("random R: wall, fastest peer", Of::Wall, Step::Random, Against::BestDedup, 0.50),
    Rule("sparse Z: wall, borg", Of::Wall, Step::Sparse, Against::One(BORG_FIXED), 1.0),
    Rule("restore Z: wall, fastest peer", Of::Wall, Step::SparseRestore, Against::BestDedup, 0.10),
];

/// Every figure. `dedup` are the peers that store what backups share only once.
pub(super) fn all(figures: &Figures, dedup: &[&str]) -> Vec<Target> {
    let mut targets: Vec<Target> =
        RULES.iter().map(|rule| quotient(figures, dedup, rule)).collect();
    let listed = figures.row(Step::Listed, TRESOR).map(|row| row.seconds);
    let restic = figures.row(Step::Next, RESTIC).map(|row| (row.seconds, RESTIC));
    let name = "listed D1: wall, restic without a list";
    targets.insert(4, judge(figures, name, listed, restic, 0.05));

    let sums = dedup.iter().filter_map(|peer| Some((sum(figures, peer)?, *peer)));
    let least = sums.min_by(|left, right| left.0.total_cmp(&right.0));
    for (place, name, tool, limit) in [
        (4, "stored D0 + D1 + D2: vault, smallest peer", VAULT, 0.97),
        (5, "stored D0 + D1 + D2: operational, smallest peer", TRESOR, 1.03),
    ] {
        targets.insert(place, judge(figures, name, sum(figures, tool), least, limit));
    }

    // Memory has no peer: its figure is compared with 1 MiB.
    let name = "peak memory of every step, MiB";
    let peak = figures.peak(&[TRESOR, VAULT]);
    targets.push(judge(figures, name, peak, Some((1.0, "the limit")), MEMORY));
    targets
}

const ABSENT: &str = "no peer has this figure";

fn quotient(figures: &Figures, dedup: &[&str], rule: &Rule) -> Target {
    let Rule(name, of, step, against, limit) = rule;
    let value = |row: &Row| match of {
        Of::Wall => Some(row.seconds),
        Of::Cpu => Some(row.cpu),
        Of::Stored => row.stored,
    };
    // Bytes are judged on the profile that is meant to store few.
    let own = if matches!(of, Of::Stored) { VAULT } else { TRESOR };
    let own = figures.row(*step, own).and_then(|row| value(&row));
    let peers: Vec<&str> = match against {
        Against::One(peer) => vec![peer],
        Against::BestDedup => dedup.to_vec(),
    };
    let rows = peers.iter().filter_map(|peer| figures.row(*step, peer));
    let values = rows.filter_map(|row| Some((value(&row)?, row.tool)));
    let best = values.min_by(|left, right| left.0.total_cmp(&right.0));
    judge(figures, name, own, best, *limit)
}

/// What a tool keeps after all three disks, in MiB.
fn sum(figures: &Figures, tool: &str) -> Option<f64> {
    let steps = [Step::First, Step::Next, Step::Sibling];
    steps.iter().map(|step| figures.row(*step, tool)?.stored).sum()
}

/// Sets a figure of ours against a peer's. Without the peer's it is open. Without ours it is
/// missed when a step of ours failed: then the step was asked for, for the peer has it.
fn judge(
    figures: &Figures,
    name: &str,
    own: Option<f64>,
    peer: Option<(f64, &str)>,
    limit: f64,
) -> Target {
    let (name, against) = (name.to_owned(), peer.map_or(ABSENT, |(_, peer)| peer).to_owned());
    let failed = figures.failures.iter().any(|failure| [TRESOR, VAULT].contains(&failure.tool));
    if own.is_none() && peer.is_some() && failed {
        let against = "a step of Tresor failed".to_owned();
        return Target { name, ratio: None, limit, met: Some(false), against };
    }
    let pair = own.zip(peer).filter(|(_, (peer, _))| *peer > 0.0);
    let ratio = pair.map(|(own, (peer, _))| own / peer);
    Target { name, ratio, limit, met: ratio.map(|ratio| ratio <= limit), against }
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Failure, sample};
    use super::*;

    const DEDUP: [&str; 2] = [RESTIC, BORG_FIXED];

    fn find(targets: &[Target], name: &str) -> Target {
        targets.iter().find(|target| target.name == name).unwrap().clone()
    }

    fn figures() -> Figures {
        let mut figures = Figures::default();
        for step in [Step::First, Step::Next, Step::Sibling] {
            figures.add(step, TRESOR, sample(2.0, 1.0, 103));
            figures.add(step, VAULT, sample(9.0, 9.0, 98));
            figures.add(step, RESTIC, sample(10.0, 4.0, 100));
            figures.add(step, BORG_FIXED, sample(4.0, 9.0, 140));
        }
        figures
    }

    #[test]
    fn there_is_one_row_for_each_figure() {
        let targets = all(&Figures::default(), &DEDUP);
        assert_eq!(targets.len(), 19);
        assert!(targets.iter().all(|target| target.met.is_none()));
    }

    #[test]
    fn a_limit_is_met_up_to_itself() {
        let targets = all(&figures(), &DEDUP);
        let first = find(&targets, "first backup D0: wall, restic");
        assert_eq!((first.ratio, first.met), (Some(0.2), Some(true)));
        let fastest = find(&targets, "first backup D0: wall, fastest peer");
        assert_eq!((fastest.ratio, fastest.met), (Some(0.5), Some(true)));
        assert_eq!(fastest.against, BORG_FIXED);
        let next = find(&targets, "next D1: wall, restic");
        assert_eq!((next.ratio, next.met), (Some(0.2), Some(true)));
        let cpu = find(&targets, "first backup D0: CPU, restic");
        assert_eq!((cpu.ratio, cpu.met), (Some(0.25), Some(true)));
    }

    #[test]
    fn bytes_are_judged_on_their_profile() {
        let targets = all(&figures(), &DEDUP);
        let vault = find(&targets, "stored D0 + D1 + D2: vault, smallest peer");
        assert_eq!((vault.ratio, vault.met), (Some(0.98), Some(false)));
        let own = find(&targets, "stored D0 + D1 + D2: operational, smallest peer");
        assert_eq!((own.ratio, own.met), (Some(1.03), Some(true)));
        let sibling = find(&targets, "sibling D2: bytes added, best peer");
        assert_eq!((sibling.ratio, sibling.met), (Some(0.98), Some(true)));
    }

    #[test]
    fn a_list_is_compared_with_the_peer_that_takes_one_and_with_one_that_does_not() {
        let mut figures = figures();
        figures.add(Step::Listed, TRESOR, sample(1.0, 1.0, 3));
        figures.add(Step::Listed, BENJI, sample(2.0, 1.0, 3));
        let targets = all(&figures, &DEDUP);
        let benji = find(&targets, "listed D1: wall, benji");
        assert_eq!((benji.ratio, benji.met), (Some(0.5), Some(false)));
        let restic = find(&targets, "listed D1: wall, restic without a list");
        assert_eq!((restic.ratio, restic.met), (Some(0.1), Some(false)));
    }

    #[test]
    fn an_absent_peer_leaves_it_open_and_a_failure_of_ours_does_not() {
        let mut figures = figures();
        let name = "deep verify: wall, fastest peer";
        let open = find(&all(&figures, &DEDUP), name);
        assert_eq!((open.met, open.against.as_str()), (None, ABSENT));
        figures.add(Step::Verify, RESTIC, sample(2.0, 1.0, 0));
        assert_eq!(find(&all(&figures, &DEDUP), name).met, None);
        let step = Step::Verify.name().to_owned();
        figures.failures.push(Failure { tool: TRESOR, step, error: "x".to_owned() });
        assert_eq!(find(&all(&figures, &DEDUP), name).met, Some(false));
        let open = find(&all(&figures, &DEDUP), "random R: wall, fastest peer");
        assert_eq!(open.met, None);
    }

    #[test]
    fn memory_has_a_limit_of_its_own() {
        let mut figures = figures();
        let name = "peak memory of every step, MiB";
        assert_eq!(find(&all(&figures, &DEDUP), name).met, Some(true));
        let large = super::super::measure::Sample { peak_bytes: 193 << 20, ..sample(1.0, 1.0, 1) };
        figures.add(Step::Verify, VAULT, large);
        assert_eq!(find(&all(&figures, &DEDUP), name).met, Some(false));
    }
}
