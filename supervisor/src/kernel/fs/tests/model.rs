//! Random histories against a model in memory. The seed is printed; set `FAZT_TEST_SEED` to replay.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const STEPS: usize = 120;
const KEPT: usize = 3;
const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Default, Clone)]
struct ModelApp {
    /// Newest last.
    versions: Vec<(u64, Tree)>,
    active: u64,
}

impl ModelApp {
    fn tree(&self) -> &Tree {
        &self.versions.iter().find(|(number, _)| *number == self.active).expect("active is kept").1
    }

    fn deploy(&mut self, tree: Tree) {
        if self.versions.is_empty() || *self.tree() != tree {
            let number = self.versions.last().map_or(0, |(number, _)| *number) + 1;
            self.versions.push((number, tree));
            self.active = number;
            let cut = self.versions.len().saturating_sub(KEPT);
            self.versions.drain(..cut);
        }
    }
}

fn random_tree(random: &mut StdRng) -> Tree {
    let mut tree = Tree::new();
    tree.insert("public/index.html".into(), vec![b'x'; random.random_range(1..3)]);
    for path in ["public/a.txt", "public/b/c.txt", "server.js", "lib/x.ts", "d.json", "public/é.bin"] {
        if random.random_bool(0.5) {
            let content = match path {
                "server.js" => "globalThis.x = 1;".repeat(random.random_range(0..3)).into_bytes(),
                "lib/x.ts" => format!("export const x: number = {};", random.random_range(0..3)).into_bytes(),
                _ => format!("{} ", random.random_range(0..4))
                    .repeat(random.random_range(0..2000))
                    .into_bytes(),
            };
            tree.insert(path.into(), content);
        }
    }
    tree
}

#[tokio::test]
async fn any_history_of_deploys_reads_as_the_model_says() {
    let seed: u64 =
        std::env::var("FAZT_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let options = FsOptions { versions_kept: KEPT, ..FsOptions::default() };
    let mut fs = open_with(data.path(), &builder, options.clone()).await;
    let mut model: BTreeMap<&str, ModelApp> = BTreeMap::new();
    let mut kept: Vec<(&str, ModelApp)> = Vec::new();
    for step in 0..STEPS {
        let name = NAMES[random.random_range(0..NAMES.len())];
        match random.random_range(0..100) {
            0..55 => {
                let tree = random_tree(&mut random);
                if !model.contains_key(name) {
                    let back = kept.iter().rposition(|(old, _)| *old == name).map(|at| kept.remove(at).1);
                    model.insert(name, back.unwrap_or_default());
                }
                let app = model.get_mut(name).expect("just made");
                app.deploy(tree.clone());
                deploy(&fs, name, &tree).await.expect("deploys");
            }
            55..75 => {
                let done = fs.rollback(name, None).await;
                let app = model.get_mut(name);
                let before = app
                    .as_ref()
                    .and_then(|app| app.versions.iter().map(|v| v.0).filter(|n| *n < app.active).max());
                assert_eq!(done.ok().map(|version| version.number), before, "step {step}, seed {seed}");
                if let (Some(app), Some(before)) = (app, before) {
                    app.active = before;
                }
            }
            75..82 => {
                let keep = random.random_bool(0.5);
                let done = fs.remove(name, keep).await;
                let app = model.remove(name);
                assert_eq!(done.is_ok(), app.is_some(), "step {step}, seed {seed}");
                if let Some(app) = app.filter(|_| keep) {
                    kept.push((name, app));
                }
            }
            82..92 => {
                let to = NAMES[random.random_range(0..NAMES.len())];
                let fits = model.contains_key(name) && !model.contains_key(to);
                assert_eq!(fs.rename(name, to).await.is_ok(), fits, "step {step}, seed {seed}");
                if fits && let Some(app) = model.remove(name) {
                    model.insert(to, app);
                }
            }
            _ => {
                drop(fs);
                fs = open_with(data.path(), &builder, options.clone()).await;
            }
        }
        assert_eq!(fs.count(), model.len(), "step {step}, seed {seed}");
        for (name, app) in &model {
            assert_eq!(read_back(&fs, name).await, *app.tree(), "step {step}, seed {seed}");
            let numbers: Vec<_> =
                fs.versions(name).await.expect("versions").iter().rev().map(|v| v.number).collect();
            let expect: Vec<_> = app.versions.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, expect, "step {step}, seed {seed}");
        }
    }
    for name in model.keys() {
        fs.verify(fs.route(name).expect("routes")).await.expect("sound");
    }
}
