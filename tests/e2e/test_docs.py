"""test_docs.py - what the pages show is what the program does.

Each complete handler in a page is run with `perilune run`; so are the small
examples in the table of the library.  Each command line in a page names a
command and options that there are; each link leads somewhere.
"""
import json
import re

import harness
from harness import run

PAGES = sorted(
    page for page in harness.ROOT.rglob("*.md")
    if not any(part.startswith((".", "build")) or part == "subprojects"
               for part in page.relative_to(harness.ROOT).parts))
FOR_AUTHORS = harness.ROOT / "functions" / "README.md"

# Runs each of EXAMPLES, an expression or statements, and says how it ended.
TRY = """local EXAMPLES = json.decode(%s)
return function(event, ctx)
  local said = {}
  local around = setmetatable({ event = event, ctx = ctx }, { __index = _G })
  for i, text in ipairs(EXAMPLES) do
    local chunk = load("return " .. text, "example", "t", around)
      or load(text, "example", "t", around)
    local ok, value = true, "is no Lua"
    if chunk then
      ok, value = pcall(chunk)
    end
    said[i] = { lua = chunk ~= nil, ok = ok, value = tostring(value) }
  end
  return json.encode(said)
end
"""


def name_of(page):
    return str(page.relative_to(harness.ROOT))


def blocks(page, language):
    """The fenced blocks of this language, [text]."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page.read_text())


def lua_string(text):
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


class Docs(harness.TestCase):
    def run_lua(self, source, event=None, manifest=None, args=()):
        """`perilune run` of this source; what it printed, parsed as JSON."""
        folder = self.folder()
        (folder / "example.lua").write_text(source)
        (folder / "event.json").write_text(json.dumps(event or {
            "type": "http", "method": "GET", "path": "/", "query": {},
            "headers": {}, "params": {}, "body": ""}))
        if manifest is not None:
            (folder / "example.json").write_text(json.dumps(manifest))
        done = run("run", str(folder / "example.lua"), "--json",
                   "-e", str(folder / "event.json"), *args)
        self.assertEqual(done.returncode, 0, done)
        return json.loads(done.stdout)

    def try_each(self, examples, args=()):
        source = TRY % lua_string(json.dumps(examples))
        done = self.run_lua(source, manifest={"env": {"SECRET": "s"}},
                            event={"query": {}, "body": "b"}, args=args)
        return json.loads(done["body"])

    def test_every_handler_in_a_page_runs(self):
        ran = 0
        for page in PAGES:
            for source in blocks(page, "lua"):
                if not re.search(r"(?m)^return function", source):
                    continue
                with self.subTest(page=name_of(page), source=source):
                    self.assertLess(self.run_lua(source)["status"], 400)
                ran += 1
        self.assertGreaterEqual(ran, 1)

    def test_the_function_of_the_five_minutes_answers_as_it_says(self):
        text = (harness.ROOT / "README.md").read_text()
        source, day, answer = re.search(
            r"(?ms)<<'LUA'\n(.*?)^LUA$.*?\?day=(\d+)'.*?^```json\n(.*?)^```",
            text).groups()
        done = self.run_lua(source, event={"query": {"day": day}})
        self.assertEqual(json.loads(done["body"]), json.loads(answer))
        done = self.run_lua(source, event={"query": {"day": "x"}})
        self.assertEqual(done["status"], 400)

    def test_the_examples_in_the_table_of_the_library_run(self):
        rows = re.findall(r"(?m)^\| `.*?` \| (.*) \|$",
                          FOR_AUTHORS.read_text().split("## The library")[1]
                          .split("\n## ")[0])
        examples = [text.replace("...", "") for row in rows
                    for text in re.findall(r"`([^`]+)`", row)
                    if "(" in text or "{ " in text]
        upload = self.folder() / "upload"
        upload.write_text("one\ntwo\n")
        ran = 0
        for text, said in zip(examples, self.try_each(
                examples, ("--file", str(upload)))):
            with self.subTest(example=text):
                self.assertTrue(said["ok"], said)
                ran += said["lua"]
        self.assertGreaterEqual(ran, 9, examples)

    def test_what_the_page_says_an_expression_is_it_is(self):
        claims = [(left, right) for left, right in re.findall(
            r"`([^`]+)` is `([^`]+)`", FOR_AUTHORS.read_text())
            if re.match(r"\w+\.\w+ ?[({]", left)]
        self.assertGreaterEqual(len(claims), 2)
        for (left, right), said in zip(claims, self.try_each(
                [left for left, _ in claims])):
            with self.subTest(left=left):
                self.assertIn(right, (said["value"], f'"{said["value"]}"'))

    def test_an_error_of_json_reads_as_the_page_says(self):
        said = self.try_each(["json.decode('{\\n\"ab\"1}')"])[0]
        text = re.search(r"an error `([^`]+)`", FOR_AUTHORS.read_text())[1]
        self.assertFalse(said["ok"])
        self.assertIn(text, said["value"])

    def test_every_command_line_has_a_command_and_options_that_are(self):
        pages, found = {}, 0
        for page in PAGES:
            lines = "".join(blocks(page, "(?:sh)?")).splitlines()
            for line in lines:
                match = re.search(r"(?:^|[ /(])perilune ([a-z]+)\b(.*)",
                                  line.split("#")[0])
                if match is None or line.startswith(("  PERILUNE", "usage")):
                    continue
                command, rest = match[1], match[2].split("|")[0]
                with self.subTest(page=name_of(page), line=line):
                    if command not in pages:
                        done = run(command, "--help")
                        self.assertEqual(done.returncode, 0, command)
                        pages[command] = done.stdout
                    for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest):
                        self.assertIn(option, pages[command])
                found += 1
        self.assertGreater(found, 40)

    def test_links_lead_somewhere(self):
        found = 0
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
                if "://" in target:
                    continue
                with self.subTest(page=name_of(page), target=target):
                    self.assertTrue((page.parent / target).exists())
                found += 1
        self.assertGreater(found, 30)


if __name__ == "__main__":
    harness.main()
