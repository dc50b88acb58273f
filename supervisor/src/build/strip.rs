//! One script, from what its author wrote to what the engine loads.

use std::path::Path;

use fazt_ipc::limits::MODULE_BYTES_MAX;
use oxc::allocator::Allocator;
use oxc::codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc::diagnostics::{OxcDiagnostic, Severity};
use oxc::parser::Parser;
use oxc::semantic::SemanticBuilder;
use oxc::span::SourceType;
use oxc::syntax::module_record::ModuleRecord;
use oxc::transformer::{
    DecoratorOptions, HelperLoaderMode, HelperLoaderOptions, JsxOptions, JsxRuntime, TransformOptions,
    Transformer,
};

use super::{Diagnostic, Jsx, Mapping, Positions, Source, StripResult, Stripped, extension, needs_stripping};

/// Diagnostics for one script; the rest would only scroll the first away.
const DIAGNOSTICS_MAX: usize = 5;
/// Columns shown around a place in a minified line.
const FRAME_COLUMNS: usize = 96;

/// What lowered decorators call. Stands in front of the code, on one line.
const HELPERS: &str = "const babelHelpers={decorate(d,t,k,s){let n=arguments.length,r=n<3?t:s===null?s=Object.getOwnPropertyDescriptor(t,k):s,f;for(let i=d.length-1;i>=0;i--)if(f=d[i])r=(n<3?f(r):n>3?f(t,k,r):f(t,k))||r;return n>3&&r&&Object.defineProperty(t,k,r),r},decorateParam(i,d){return(t,k)=>d(t,k,i)},decorateMetadata(){}};\n";

/// Strips types and JSX where the path says so, and lists the imports.
///
/// # Errors
/// What is wrong with the script.
pub fn strip(source: &Source) -> StripResult {
    let fail = |message: String| {
        vec![Diagnostic { path: source.path.clone(), line: 0, column: 0, message, frame: String::new() }]
    };
    if source.text.len() > MODULE_BYTES_MAX {
        return Err(fail(format!("script of {} bytes; at most {MODULE_BYTES_MAX}", source.text.len())));
    }
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, &source.text, language(&source.path)).parse();
    report(source, &parsed.diagnostics.into_vec())?;
    if !needs_stripping(&source.path) {
        let (imports, complete) = imports(&parsed.module_record, &source.text);
        // A map that is none is no reason to refuse a script that runs without it.
        let map = Positions::from_source_map(&source.map).map(|positions| positions.encode());
        return Ok(Stripped { map: map.unwrap_or_default(), imports, complete, ..Stripped::default() });
    }
    let mut program = parsed.program;
    let semantic = SemanticBuilder::new().with_check_syntax_error(true).with_enum_eval(true).build(&program);
    report(source, &semantic.diagnostics.into_vec())?;
    let scoping = semantic.semantic.into_scoping();
    let options = TransformOptions {
        jsx: jsx(&source.jsx),
        decorator: DecoratorOptions { legacy: true, ..DecoratorOptions::default() },
        helper_loader: HelperLoaderOptions {
            mode: HelperLoaderMode::External,
            ..HelperLoaderOptions::default()
        },
        ..TransformOptions::default()
    };
    let transformed = Transformer::new(&allocator, Path::new(&source.path), &options)
        .build_with_scoping(scoping, &mut program);
    report(source, &transformed.diagnostics.into_vec())?;
    let printed = Codegen::new()
        .with_options(CodegenOptions {
            comments: CommentOptions::disabled(),
            source_map_path: Some(source.path.clone().into()),
            ..CodegenOptions::default()
        })
        .build(&program);
    let helpers = if printed.code.contains("babelHelpers.") { HELPERS } else { "" };
    let code = format!("{helpers}{}", printed.code);
    let moved = u32::from(!helpers.is_empty());
    let mut mappings: Vec<Mapping> = printed
        .map
        .iter()
        .flat_map(|map| map.get_tokens())
        .map(|token| Mapping {
            line: token.get_dst_line() + moved,
            column: token.get_dst_col(),
            source_line: token.get_src_line(),
            source_column: token.get_src_col(),
        })
        .collect();
    mappings.sort_by_key(|mapping| (mapping.line, mapping.column));
    mappings.dedup_by_key(|mapping| (mapping.line, mapping.column));
    // What is left after stripping is what is loaded: an import used only as a type is not one.
    let (imports, complete) = {
        let allocator = Allocator::default();
        let again = Parser::new(&allocator, &code, SourceType::mjs()).parse();
        if again.diagnostics.has_errors() {
            let found = again.diagnostics.errors().next().map(ToString::to_string).unwrap_or_default();
            return Err(fail(format!("stripping gave code that does not parse ({found})")));
        }
        imports(&again.module_record, &code)
    };
    Ok(Stripped { code, map: Mapping::encode(&mappings), imports, complete })
}

fn language(path: &str) -> SourceType {
    match extension(path) {
        "ts" | "mts" | "cts" => SourceType::ts().with_module(true),
        "tsx" => SourceType::tsx().with_module(true),
        "jsx" => SourceType::jsx().with_module(true),
        _ => SourceType::mjs(),
    }
}

fn jsx(app: &Jsx) -> JsxOptions {
    let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    JsxOptions {
        runtime: if app.classic { JsxRuntime::Classic } else { JsxRuntime::Automatic },
        import_source: given(&app.import_source),
        pragma: given(&app.factory),
        pragma_frag: given(&app.fragment),
        ..JsxOptions::default()
    }
}

/// What is imported, and whether that is all: an expression is resolved when it runs.
fn imports(record: &ModuleRecord<'_>, text: &str) -> (Vec<String>, bool) {
    let mut complete = true;
    let mut imports: Vec<String> = record
        .requested_modules
        .iter()
        .filter(|(_, uses)| uses.iter().any(|one| !one.is_type))
        .map(|(specifier, _)| specifier.to_string())
        .collect();
    for import in &record.dynamic_imports {
        let span = import.module_request;
        let argument = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let literal = ['"', '\'', '`']
            .iter()
            .find_map(|&quote| argument.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)));
        // More than one literal and what stands between them holds a quotation mark.
        match literal.filter(|literal| !literal.contains(['\\', '$', '"', '\'', '`'])) {
            Some(literal) => imports.push(literal.to_owned()),
            None => complete = false,
        }
    }
    imports.sort();
    imports.dedup();
    (imports, complete)
}

fn report(source: &Source, found: &[OxcDiagnostic]) -> Result<(), Vec<Diagnostic>> {
    let errors: Vec<_> = found
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .take(DIAGNOSTICS_MAX)
        .map(|diagnostic| describe(source, diagnostic))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn describe(source: &Source, diagnostic: &OxcDiagnostic) -> Diagnostic {
    let mut message = diagnostic.message.to_string();
    if let Some(help) = &diagnostic.help {
        message = format!("{message} ({help})");
    }
    let offset = diagnostic.labels.first().map(|label| label.offset() as usize);
    let (line, column, frame) = offset.map_or((0, 0, String::new()), |offset| place(&source.text, offset));
    Diagnostic { path: source.path.clone(), line, column, message, frame }
}

/// Line and column from 1, and the line with a mark under the place.
fn place(text: &str, offset: usize) -> (u32, u32, String) {
    let offset = text.floor_char_boundary(offset.min(text.len()));
    let start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
    let line = u32::try_from(text[..start].matches('\n').count()).unwrap_or(u32::MAX - 1) + 1;
    let column = text[start..offset].chars().count();
    let first = column.saturating_sub(FRAME_COLUMNS / 2);
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String =
        text[start..end].trim_end().chars().skip(first).take(FRAME_COLUMNS).map(visible).collect();
    let gutter = line.to_string();
    let frame =
        format!("  {gutter} | {shown}\n  {} | {}^", " ".repeat(gutter.len()), " ".repeat(column - first));
    (line, u32::try_from(column).unwrap_or(u32::MAX - 1) + 1, frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Stripped {
        match strip(&Source { path: path.into(), text: text.into(), ..Source::default() }) {
            Ok(stripped) => stripped,
            Err(diagnostics) => panic!("{diagnostics:?}"),
        }
    }

    #[test]
    fn types_go_and_type_imports_vanish() {
        let got = check(
            "a.ts",
            "import type { A } from './types.ts';\nimport { B } from './b.ts';\nimport { C } from './c.ts';\nconst x: A = 1 as any; export default (y: B): number => C(x!, y satisfies B);\n",
        );
        assert!(!got.code.contains("types.ts") && !got.code.contains(": A"), "{}", got.code);
        assert_eq!(got.imports, ["./c.ts"], "an import used only as a type is none");
    }

    #[test]
    fn enums_namespaces_and_parameter_properties_become_javascript() {
        let got = check(
            "a.ts",
            "enum E { A, B = 5 }\nnamespace N { export const x = E.B }\nclass P { constructor(private y: number) {} }\nexport { N, P };",
        );
        for gone in ["enum ", "namespace ", "private "] {
            assert!(!got.code.contains(gone), "{gone}: {}", got.code);
        }
        assert!(got.code.contains("this.y = y"), "{}", got.code);
    }

    #[test]
    fn decorators_bring_what_they_call() {
        let got = check("a.ts", "function d(t: any) { return t }\n@d class A {}\nexport { A };");
        assert!(got.code.starts_with("const babelHelpers="), "{}", got.code);
        assert!(got.code.contains("babelHelpers.decorate("), "{}", got.code);
    }

    #[test]
    fn jsx_follows_the_pragma() {
        let automatic =
            check("a.tsx", "/** @jsxImportSource hono/jsx */\nexport default () => <p class=\"x\">hi</p>;");
        assert_eq!(automatic.imports, ["hono/jsx/jsx-runtime"]);
        let classic = check(
            "a.jsx",
            "/** @jsxRuntime classic @jsx h @jsxFrag Fragment */\nimport { h, Fragment } from './h.js';\nexport default () => <><p>hi</p></>;",
        );
        assert!(classic.code.contains("h(Fragment"), "{}", classic.code);
        assert_eq!(classic.imports, ["./h.js"]);
        assert_eq!(check("b.jsx", "export default <b/>;").imports, ["react/jsx-runtime"]);
    }

    #[test]
    fn jsx_follows_the_app_where_the_script_does_not_say() {
        let with = |jsx: &Jsx, text: &str| {
            let source =
                Source { path: "a.tsx".into(), text: text.into(), jsx: jsx.clone(), ..Source::default() };
            strip(&source).expect("stripped")
        };
        let hono = Jsx { import_source: "hono/jsx".into(), ..Jsx::default() };
        assert_eq!(with(&hono, "export default <b/>;").imports, ["hono/jsx/jsx-runtime"]);
        let own = "/** @jsxImportSource preact */ export default <b/>;";
        assert_eq!(with(&hono, own).imports, ["preact/jsx-runtime"]);
        let classic = Jsx { classic: true, factory: "h".into(), fragment: "F".into(), ..Jsx::default() };
        let got = with(&classic, "import { h, F } from './h.js'; export default () => <><p>hi</p></>;");
        assert!(
            got.code.contains("h(F, null, /* @__PURE__ */ h(\"p\"")
                || got.code.contains("h(F, null, h(\"p\""),
            "{}",
            got.code
        );
        assert_eq!(got.imports, ["./h.js"]);
    }

    #[test]
    fn it_is_known_whether_every_import_can_be_followed() {
        for (text, complete) in [
            ("import './a.js'; import('./b.js'); import(`./c.js`)", true),
            ("import('./a' + '.js')", false),
            ("const a = 1; import(`./${a}.js`)", false),
            ("import(globalThis.x)", false),
        ] {
            assert_eq!(check("a.js", text).complete, complete, "{text}");
            assert_eq!(check("a.ts", text).complete, complete, "{text}");
        }
        // Stripping writes the escape out; a script that is not stripped keeps it.
        assert!(!check("a.js", "import('./\\x61.js')").complete);
    }

    #[test]
    fn positions_lead_back_to_the_source() {
        let text = "type T = {\n  a: string;\n};\n\nexport function f(t: T) {\n  throw new Error(t.a);\n}\n";
        let got = check("a.ts", text);
        let map = Mapping::decode(&got.map).expect("its own encoding");
        let line = got.code.lines().position(|line| line.contains("throw")).expect("kept") as u32;
        let throw = map.iter().find(|mapping| mapping.line == line).expect("mapped");
        assert_eq!(throw.source_line, 5, "{}", got.code);
    }

    /// The place in the source of what stands at a text of the stripped code.
    fn place_of(got: &Stripped, text: &str) -> (u32, u32) {
        let at = got.code.find(text).unwrap_or_else(|| panic!("{text} in {}", got.code));
        let line = got.code[..at].matches('\n').count() as u32;
        let column = (at - got.code[..at].rfind('\n').map_or(0, |newline| newline + 1)) as u32;
        let map = Mapping::decode(&got.map).expect("its own encoding");
        let before = map.iter().rev().find(|m| (m.line, m.column) <= (line, column)).expect("mapped");
        assert_eq!(before.line, line, "{text}");
        (before.source_line + 1, before.source_column + 1 + (column - before.column))
    }

    #[test]
    fn every_kind_of_stripping_keeps_places_to_the_column() {
        // Every call has a number of its own, by which it is found again in what is left.
        let text = [
            "type A = {",                                        // 1
            "  a: string;",                                      // 2
            "};",                                                // 3
            "interface B<",                                      // 4
            "  T,",                                              // 5
            "> { b: T }",                                        // 6
            "declare function mark(at: string): any;",           // 7
            "enum E { X = 1, Y = X << 2,",                       // 8
            "  Z = mark(1) }",                                   // 9
            "function d(t: any, _?: unknown) { return t }",      // 10
            "const one: A = mark(2), two = mark(3) as B<",       // 11
            "  string",                                          // 12
            ">, three = mark(4)!;",                              // 13
            "function f<T extends",                              // 14
            "  object>(t: T,",                                   // 15
            "  u = mark(5)): t is T { return mark(6) }",         // 16
            "@d class C<T> {",                                   // 17
            "  constructor(private p: number,",                  // 18
            "    public q = mark(7)) { mark(8) }",               // 19
            "  @d m(this: C<T>): void { mark(9) }",              // 20
            "}",                                                 // 21
            "namespace N { export const n: number = mark(10) }", // 22
            "const jsx = <p class={mark(11)}>",                  // 23
            "  text {mark(12)}",                                 // 24
            "  <b.c {...mark(13)} />",                           // 25
            "</p>;",                                             // 26
            "export { one, two, three, f, C, N, E, jsx };",      // 27
        ]
        .join("\n");
        let got = check("a.tsx", &text);
        let mut seen = 0;
        for (number, line) in text.lines().enumerate() {
            for (column, found) in line.match_indices("mark(").filter(|(_, _)| !line.starts_with("declare")) {
                let end = column + line[column..].find(')').expect("closed") + 1;
                let call = &line[column..end];
                assert!(call.starts_with(found));
                assert_eq!(
                    place_of(&got, call),
                    (number as u32 + 1, column as u32 + 1),
                    "{call} in {}",
                    got.code
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 13);
    }

    #[test]
    fn a_plain_script_is_only_looked_at() {
        let got = check(
            "a.js",
            "import a from './a.js'; export * from \"./b.js\"; await import('./c.js'); import(a);",
        );
        assert_eq!(got.imports, ["./a.js", "./b.js", "./c.js"]);
        assert!(got.code.is_empty() && got.map.is_empty());
    }

    #[test]
    fn a_syntax_error_names_its_place_and_shows_the_line() {
        for (path, text) in [("a.js", "let a = 1;\nlet b = ;\n"), ("a.ts", "let a: number = 1;\nlet b = ;\n")]
        {
            let found = strip(&Source { path: path.into(), text: text.into(), ..Source::default() })
                .expect_err("broken");
            assert_eq!((found[0].line, found[0].column), (2, 9), "{found:?}");
            assert_eq!(found[0].frame, "  2 | let b = ;\n    |         ^");
        }
    }

    #[test]
    fn a_place_in_a_minified_line_is_shown_in_part() {
        let text = format!("{}let = = 1", "a();".repeat(1000));
        let found = strip(&Source { path: "a.js".into(), text, ..Source::default() }).expect_err("broken");
        assert!(found[0].frame.len() < 300, "{}", found[0].frame);
    }
}
