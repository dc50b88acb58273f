//! What `package.json` says of an app for Workers. Its scripts are read, never run.

use serde_json::Value;

use super::super::job::RepoFile;

/// `package.json` at the top; null if there is none.
pub(super) fn read(files: &[RepoFile]) -> Value {
    let file = files.iter().find(|file| file.path == "package.json");
    file.and_then(|file| serde_json::from_slice(&file.bytes).ok()).unwrap_or_default()
}

/// The environment that the command for deploying names: `wrangler deploy --env production`.
pub(super) fn environment(package: &Value) -> Option<String> {
    let scripts = package["scripts"].as_object()?;
    let script = ["deploy", "publish"].iter().find_map(|name| scripts.get(*name)?.as_str())?;
    let mut commands = script.split(['&', '|', ';', '\n']);
    let command = commands.find(|command| command.split_whitespace().any(|word| word == "wrangler"))?;
    let mut words = command.split_whitespace();
    while let Some(word) = words.next() {
        if matches!(word, "--env" | "-e") {
            return words.next().map(str::to_owned);
        }
        if let Some(name) = word.strip_prefix("--env=").or_else(|| word.strip_prefix("-e=")) {
            return Some(name.to_owned());
        }
    }
    None
}

/// Words that follow a program in the scripts: those that deploy first.
pub(super) fn arguments_of<'a>(package: &'a Value, program: &'a str) -> impl Iterator<Item = &'a str> {
    let mut scripts: Vec<&str> = Vec::new();
    for (name, script) in package["scripts"].as_object().into_iter().flatten() {
        let Some(script) = script.as_str() else { continue };
        match name.as_str() {
            "deploy" | "publish" => scripts.insert(0, script),
            _ => scripts.push(script),
        }
    }
    scripts.into_iter().flat_map(move |script| {
        let commands = script.split(['&', '|', ';', '\n']);
        let commands = commands.filter_map(move |command| {
            let mut words = command.split_whitespace();
            words.any(|word| word == program).then_some(words)
        });
        commands.flatten().map(|word| word.trim_matches(['"', '\'']))
    })
}
