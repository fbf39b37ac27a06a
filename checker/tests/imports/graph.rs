//! Which file of a crate imports which, by Rust's own tokens.
//!
//! An import is a path of two names or more in a file, in a `use` or anywhere else (macros too), that leads to
//! a file of the same crate. It counts for the file that defines what it names: whoever names something by a
//! re-export (`super::Name`, where the parent has `pub use child::Name`) imports `child`, and not the parent.
//!
//! What does not count: items that are for tests only (`#[cfg(test)]`), comments, and the declaration of a
//! module (`mod child;`). A file that holds nothing but declarations and re-exports defines nothing, and is
//! thus imported by nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The files of a crate, by their paths below its folder, and what each imports.
pub type Imports = BTreeMap<String, BTreeSet<String>>;

/// A module: the names that lead to it from the crate's root.
type Names = Vec<String>;

#[derive(Default)]
struct Module {
    /// Below the crate's folder.
    file: String,
    /// What its `use`s bind: names and where they lead.
    bound: HashMap<String, Names>,
    /// Whether it holds anything else than declarations of modules and re-exports.
    defines: bool,
    /// Modules of which all names are bound.
    globs: Vec<Names>,
    /// The paths that its other items name.
    paths: Vec<Names>,
}

/// The imports of the crate in that folder.
///
/// # Panics
///
/// When a file that a module names is not there, or is not Rust.
pub fn imports(folder: &Path) -> Imports {
    let mut imports = Imports::new();
    for root in ["src/lib.rs", "src/main.rs"] {
        if folder.join(root).exists() {
            let mut tree = HashMap::new();
            read(folder, root.into(), Vec::new(), &mut tree);
            add_imports(&tree, &mut imports);
        }
    }
    imports
}

fn add_imports(tree: &HashMap<Names, Module>, imports: &mut Imports) {
    for (names, module) in tree {
        let targets = module.bound.values().chain(&module.globs);
        let targets = targets.chain(&module.paths);
        let files = targets.filter_map(|path| resolve(tree, names, path, 0));
        let of_module = imports.entry(module.file.clone()).or_default();
        of_module.extend(files.filter(|file| *file != module.file));
    }
}

/// The file that defines what a path in a module leads to; none if that is of another crate.
fn resolve(
    tree: &HashMap<Names, Module>,
    from: &Names,
    path: &[String],
    depth: usize,
) -> Option<String> {
    let mut at = from.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (at, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|name| name == "super") {
                at.pop()?;
                rest = &rest[1..];
            }
        }
        name => {
            let child = [&at[..], &[name.to_owned()]].concat();
            if !tree.contains_key(&child) && !tree[&at].bound.contains_key(name) {
                return None;
            }
        }
    }
    while let Some(name) = rest.first() {
        let child = [&at[..], std::slice::from_ref(name)].concat();
        if tree.contains_key(&child) {
            (at, rest) = (child, &rest[1..]);
            continue;
        }
        let module = &tree[&at];
        // A name that leads to itself is of another crate.
        if let Some(bound) = module.bound.get(name)
            && depth < 20
        {
            let path = [&bound[..], &rest[1..]].concat();
            return resolve(tree, &at, &path, depth + 1);
        }
        let through_globs = module.globs.iter().find_map(|glob| {
            let path = [&glob[..], rest].concat();
            let file = resolve(tree, &at, &path, depth + 1);
            file.filter(|_| depth < 20 && is_defined(tree, &at, glob, name))
        });
        return through_globs.or_else(|| Some(module.file.clone()));
    }
    let module = &tree[&at];
    module.defines.then(|| module.file.clone())
}

/// Whether the module that a glob of another one names has a name of its own or binds it.
fn is_defined(tree: &HashMap<Names, Module>, at: &Names, glob: &[String], name: &String) -> bool {
    let child = [&at[..], glob].concat();
    tree.get(&child).is_some_and(|module| {
        module.bound.contains_key(name)
            || tree.contains_key(&[&child[..], std::slice::from_ref(name)].concat())
    })
}

/// Reads a file and those of its modules.
fn read(folder: &Path, file: PathBuf, names: Names, tree: &mut HashMap<Names, Module>) {
    let text = fs::read_to_string(folder.join(&file));
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let tokens: TokenStream = text
        .parse()
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    scan(folder, &file, &names, tokens, tree);
}

/// Takes in the tokens of a module, or of a part of it.
fn scan(
    folder: &Path,
    file: &Path,
    names: &Names,
    tokens: TokenStream,
    tree: &mut HashMap<Names, Module>,
) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let module = tree.entry(names.clone()).or_default();
    module.file = file.display().to_string();
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|t| t.to_string() == text);
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let inner = usize::from(is(at + 1, "!"));
                let attribute = tokens.get(at + 1 + inner);
                let text = attribute.map_or(String::new(), ToString::to_string);
                let for_tests = text.replace(' ', "").starts_with("[cfg(test");
                if let Some(TokenTree::Group(group)) = attribute
                    && inner == 0
                    && !text.starts_with("[doc")
                {
                    scan(folder, file, names, group.stream(), tree);
                }
                at += 2 + inner;
                if for_tests && inner == 0 {
                    at = after_item(&tokens, at);
                }
            }
            TokenTree::Ident(word) if word == "use" => {
                let end = (at..tokens.len()).find(|at| is(*at, ";"));
                let end = end.unwrap_or(tokens.len());
                let module = tree.get_mut(names).expect("it was just entered");
                bind(&tokens[at + 1..end], &[], module);
                at = end + 1;
            }
            TokenTree::Ident(word) if word == "mod" && is(at + 2, ";") => {
                let name = tokens[at + 1].to_string();
                let child = [&names[..], std::slice::from_ref(&name)].concat();
                let below = match file.file_stem().and_then(|stem| stem.to_str()) {
                    Some("lib" | "main" | "mod") => file.with_file_name(""),
                    _ => file.with_extension(""),
                };
                let flat = below.join(format!("{name}.rs"));
                let nested = below.join(&name).join("mod.rs");
                let file = if folder.join(&flat).exists() {
                    flat
                } else {
                    nested
                };
                read(folder, file, child, tree);
                at += 3;
            }
            TokenTree::Ident(word)
                if word == "mod" && matches!(tokens.get(at + 2), Some(TokenTree::Group(_))) =>
            {
                let child = [&names[..], &[tokens[at + 1].to_string()]].concat();
                if let TokenTree::Group(group) = &tokens[at + 2] {
                    scan(folder, file, &child, group.stream(), tree);
                }
                at += 3;
            }
            TokenTree::Ident(word) if word == "pub" => {
                let restricted = matches!(
                    tokens.get(at + 1),
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis
                );
                at += 1 + usize::from(restricted);
            }
            TokenTree::Ident(word) => {
                let mut path = vec![word.to_string()];
                at += 1;
                while is(at, ":")
                    && is(at + 1, ":")
                    && matches!(tokens.get(at + 2), Some(TokenTree::Ident(_)))
                {
                    path.push(tokens[at + 2].to_string());
                    at += 3;
                }
                let module = tree.get_mut(names).expect("it was just entered");
                module.defines = true;
                if path.len() > 1 {
                    module.paths.push(path);
                }
            }
            TokenTree::Group(group) => {
                scan(folder, file, names, group.stream(), tree);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// Where the item ends that begins there.
fn after_item(tokens: &[TokenTree], begin: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    let length = tokens[begin..].iter().position(ends);
    length.map_or(tokens.len(), |length| begin + length + 1)
}

/// Takes in what a `use` binds, below a path.
fn bind(tokens: &[TokenTree], below: &[String], module: &mut Module) {
    let mut path = below.to_vec();
    let mut alias = None;
    let mut after_as = false;
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "as" => after_as = true,
            TokenTree::Ident(word) if after_as => alias = Some(word.to_string()),
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == '*' => {
                module.globs.push(path);
                return;
            }
            TokenTree::Group(group) => {
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                let is_comma = |token: &TokenTree| token.to_string() == ",";
                for part in tokens.split(is_comma).filter(|part| !part.is_empty()) {
                    bind(part, &path, module);
                }
                return;
            }
            _ => {}
        }
    }
    if path.last().is_some_and(|name| name == "self") && path.len() > 1 {
        path.pop();
    }
    let name = alias.or_else(|| path.last().cloned());
    if let Some(name) = name {
        module.bound.insert(name, path);
    }
}

/// The files that import one another, directly or not: cycles, each ascending.
pub fn cycles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = imports
        .keys()
        .map(|file| (file, reach(imports, file)))
        .collect();
    let mut cycles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, from_it) in &reached {
        let back = from_it
            .iter()
            .filter(|other| reached[*other].contains(file));
        let cycle: Vec<String> = back.map(|file| (*file).clone()).collect();
        if !cycle.is_empty() {
            cycles.insert(cycle);
        }
    }
    cycles.into_iter().collect()
}

/// Everything that a file imports, directly or not.
fn reach<'i>(imports: &'i Imports, file: &'i String) -> BTreeSet<&'i String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(file) = open.pop() {
        open.extend(imports[file].iter().filter(|next| reached.insert(*next)));
    }
    reached
}

/// The shortest way from a file of a cycle back to it, both ends included.
pub fn shortest_cycle(imports: &Imports, cycle: &[String]) -> Vec<String> {
    let from = |start: &String| {
        let mut ways = VecDeque::from([vec![start.clone()]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            for next in &imports[&way[way.len() - 1]] {
                let longer = [&way[..], std::slice::from_ref(next)].concat();
                if next == start {
                    return longer;
                }
                if cycle.contains(next) && seen.insert(next) {
                    ways.push_back(longer);
                }
            }
        }
        unreachable!("the files of a cycle reach one another")
    };
    let ways = cycle.iter().map(from);
    ways.min_by_key(Vec::len).expect("a cycle has files")
}
