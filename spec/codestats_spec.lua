-- The demo program: its parts alone, and the program itself on a small tree.

local library_path = package.path
package.path = "examples/?.lua;" .. package.path

local dkjson = require "dkjson"
local helper = require "spec.helper"

local identifiers = require "codestats.identifiers"
local json = require "codestats.json"
local listing = require "codestats.listing"
local report = require "codestats.report"
local scan = require "codestats.scan"
local summary = require "codestats.summary"

local unpack = table.unpack or rawget(_G, "unpack")

-- ---- files to read ----

local folder

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function shell(command)
  local pipe = assert(io.popen("cd " .. quote(folder) .. " && " .. command))
  local output = pipe:read "*a"
  pipe:close()
  return output
end

local function write(name, content)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  assert(file:write(content))
  assert(file:close())
  return folder .. "/" .. name
end

local function new_folder()
  folder = os.tmpname()
  os.remove(folder)
  assert(io.popen("mkdir " .. quote(folder))):close()
end

local function remove_folder()
  local path = folder
  folder = "/"
  shell("rm -rf " .. quote(path))
end

-- ---- one file ----

-- "blank comment code" of a source text, its identifiers and its imports.
local function scanned(extension, text)
  local uses = {}
  local file = assert(scan.file(write("source." .. extension, text), uses))
  local figures = ("%d %d %d"):format(file.blank, file.comment, file.code)
  return figures, uses, file.imported, file
end

local function lines(...)
  return table.concat({ ... }, "\n") .. "\n"
end

describe("codestats reads a file:", function()
  before_each(new_folder)
  after_each(remove_folder)
  after_each(helper.nothing_left)

  local function promise(what, extension, text, figures)
    it(what, function()
      assert.equal(figures, (scanned(extension, text)))
    end)
  end

  promise("nothing in an empty one", "c", "", "0 0 0")
  promise("a last line without an end", "c", "int a;\nint b;", "0 0 2")
  promise("a comment that ends with the file", "c", "a\n/* b", "0 1 1")
  promise("white space is blank", "c", "\n  \t\n\f\n", "3 0 0")
  promise("lines that end in CR LF", "c",
          "int a;\r\n\r\n// b\r\n/* c\r\n\r\n */\r\n", "2 3 1")
  promise("a byte order mark before a comment", "c",
          "\239\187\191// a\nb\n", "0 1 1")
  promise("nothing but a byte order mark", "c", "\239\187\191", "1 0 0")
  promise("code and comment on one line is code", "c",
          lines("a; // b", "/* c */ d", "e /* f", "g */"), "0 1 3")
  promise("blank lines in a comment are blank", "c",
          lines("/*", "", " * a", "*/"), "1 3 0")
  promise("comments that begin in strings do not begin", "c",
          lines('s = "/*";', 't = "//";', "u = '\"';", "a;", "// b"), "0 1 4")
  promise("quotes in comments do not begin strings", "c",
          lines("// it's", "a;", '/* " */', "b;"), "0 2 2")
  promise("escaped quotes do not end strings", "c",
          lines([[s = "\"/*";]], [[t = '\'';]], [[u = "\\"; // a]], "// b"),
          "0 1 3")
  promise("a comment marker is no comment end", "c",
          lines("/*/", "a", "*/", "b"), "0 3 1")
  promise("a comment of nothing ends with its line", "c",
          lines("//", "", "a;", "b; //", "c;"), "1 1 3")
  promise("a string without its end stops with the line", "c",
          lines('#error "don', "// a", 'b "', "// c"), "0 2 2")
  promise("a backslash carries a string over the end of a line", "c",
          lines([[s = "a \]], '// b";', "// c"), "0 1 2")
  promise("a backslash carries a comment over the end of a line", "c",
          "// a \\\nint b;\n// c \\\r\nd\ne\n", "0 4 1")
  promise("separated digits do not begin a character", "cpp",
          lines("n = 1'000'000;", "// a", "m = 0x1'F; // b"), "0 1 2")
  promise("raw strings of C++", "cpp",
          lines('s = R"x(', "// a", ')"', "", ')x";', "// b"), "1 1 4")
  promise("strings of C that only look raw", "cpp",
          lines('s = "a(";', "// b"), "0 1 1")

  promise("long comments and strings of Lua", "lua",
          lines("--[==[ a", "]]", "]==] b()", "--[[ c ]]", "s = [[", "-- d",
                "]]", "--- e", "-- [[ f", "g = t[t[1]]"), "0 5 5")
  promise("the first line of a Lua program", "lua",
          lines("#!/usr/bin/env lua", "print(#arg)"), "0 1 1")
  promise("long strings of Python", "py",
          lines('s = """', "# a", "", '"""', "# b", "t = '#'", "u = '''\\'''",
                "# c", "'''"), "1 1 7")
  promise("words, strings and expansions of shells", "sh",
          lines("#!/bin/sh", "echo $# ${a#b} a#b 'it", "# a' # b", "# c",
                [[echo \" # d]], "(#e", ")"), "0 2 5")
  promise("here documents of shells", "sh",
          lines("cat <<EOF # a", "# it's", "EOF", "# b", "cat <<-'x y' <<'X'",
                "# c", "\tEOF", "X", "# d", "n=$((1 << 2))", "# e",
                "cat <<< A", "# f"), "0 4 9")
  promise("templates and patterns of JavaScript", "js",
          lines("s = `", "// a", "`", "p = /[\"'`]/ // b", "// c",
                "q = a / b / 'c'", "// d"), "0 2 5")
  promise("raw strings of Go", "go",
          lines("s := `\\`", "// a", "t := `", "// b", "`", "c := '`'", "// d"),
          "0 2 5")
  promise("lifetimes, characters, raw strings, nested comments of Rust", "rs",
          lines("fn a<'b>(c: &'b str) { // d", "e = '\"'; f = '\\'';", "// g",
                'h = r#"', '// " i', '"#;', "/* j /* k", "*/ l", "*/", "m",
                'n = r"\\";', "// o"), "0 5 7")
  promise("text blocks of Java", "java",
          lines('s = """', "// a", '";', '""";', "// b"), "0 1 4")
end)

describe("codestats counts", function()
  before_each(new_folder)
  after_each(remove_folder)

  local function promise(what, extension, text, uses)
    it(what, function()
      local _, found = scanned(extension, text)
      assert.same(uses, found)
    end)
  end

  promise("identifiers and not what is in comments, strings and numbers", "c",
          'foo(foo, b1); // foo\n"foo"; 0xfoo; 1.5f; 1.f; /* foo */ _x;',
          { foo = 2, b1 = 1, _x = 1 })
  promise("no prefixes of strings", "cpp", 'u8"a"; LR"(b)"; u8',
          { u8 = 1 })
  promise("no names of included files", "c", "#include <a/b.h>\n",
          { include = 1 })
  promise("letters of other alphabets", "py", "gr\195\182\195\159e = a",
          { ["gr\195\182\195\159e"] = 1, a = 1 })
  promise("what follows a range", "rs", "0..n", { n = 1 })
  promise("dollars where a language has them", "js", "$a + a", { ["$a"] = 1,
          a = 1 })
end)

describe("codestats finds imports", function()
  before_each(new_folder)
  after_each(remove_folder)

  local function promise(language, extension, text, names)
    it("of " .. language, function()
      local _, _, imported = scanned(extension, text)
      local list = {}
      for name in pairs(imported) do list[#list + 1] = name end
      table.sort(list)
      assert.same(names, list)
    end)
  end

  promise("C", "c", lines("#include <a/b.h>", '  #  include "c.h" // x',
          '// #include "d.h"', '"#include <e>"', "#include MACRO",
          "#include <a/b.h>"), { "a/b.h", "c.h" })
  promise("Lua", "lua", lines('local a = require "a.b"', "require('c')",
          "-- require 'd'", "local e = require (name)"), { "a.b", "c" })
  promise("Python", "py", lines("import os.path", "from a.b import c",
          "from . import d", "x = 'import e'"), { ".", "a.b", "os.path" })
  promise("JavaScript", "js", lines("import a from 'b'", 'import "c"',
          "const d = require('e')", "// import 'f'"), { "b", "c", "e" })
  promise("Go", "go", lines('import "fmt"', 'import m "math"', "import (",
          '\t"os"', '\tx "net/http"', ")"), { "fmt", "math", "net/http", "os" })
  promise("Rust", "rs", lines("use std::io;", "pub use a::{b, c};"),
          { "a", "std::io" })
  promise("Java", "java", lines("import java.util.List;", "import a.*;"),
          { "a.*", "java.util.List" })
  promise("shells", "sh", "source ./a.sh\n", { "./a.sh" })
end)

describe("codestats leaves out", function()
  before_each(new_folder)
  after_each(remove_folder)
  after_each(helper.nothing_left)

  it("a binary file", function()
    local file, why = scan.file(write("a.c", "int a;\0"), {})
    assert.is_nil(file)
    assert.equal("binary", why)
  end)

  it("a huge binary file, at once", function()
    shell "truncate -s 100G sparse.c"
    assert.equal("binary", select(2, scan.file(folder .. "/sparse.c", {})))
  end)

  it("a file with a line that no memory should be spent on", function()
    local long = ("x"):rep(2 ^ 20):rep(17)
    local file, why = scan.file(write("a.js", "//\n" .. long .. "\n"), {})
    assert.is_nil(file)
    assert.equal("a line is too long", why)
  end)

  it("a file that is gone", function()
    local file, why = scan.file(folder .. "/none.c", {})
    assert.is_nil(file)
    assert.equal("No such file or directory", why)
  end)

  it("a folder with the name of a file", function()
    local file, why = scan.file(folder, {})
    assert.is_nil(file)
    assert.equal("Is a directory", why)
  end)
end)

describe("codestats reads blocks", function()
  before_each(new_folder)
  after_each(remove_folder)

  it("as if they were one text, wherever they are cut", function()
    local part = lines("foo(1); // a", "", "/* b", "foo c */", 's = "d\\',
                       '// e";')
    local many = math.floor(3 * 16384 / #part)
    local figures, uses, _, file = scanned("c", part:rep(many))
    assert.equal(("%d %d %d"):format(many, 2 * many, 3 * many), figures)
    assert.same({ foo = many, s = many }, uses)
    assert.equal(#part * many, file.bytes)
  end)

  it("with lines longer than a block", function()
    local long = ("x "):rep(16384)
    local figures, uses = scanned("c", long .. "/*" .. long .. "\n" .. long
                                  .. "*/" .. long)
    assert.equal("0 0 2", figures)
    assert.equal(2 * 16384, uses.x)
  end)
end)

describe("codestats adds up identifiers", function()
  -- Counts of the `limit` commonest, from parts, and by plain addition.
  local function commonest(parts, limit)
    local total, sum = identifiers.new(), {}
    for _, part in ipairs(parts) do
      for name, n in pairs(part) do sum[name] = (sum[name] or 0) + n end
      identifiers.add(total, identifiers.pack(part))
    end
    local found, ranks = identifiers.commonest(total, limit), {}
    for _, n in pairs(sum) do ranks[#ranks + 1] = n end
    table.sort(ranks, function(a, b) return a > b end)
    local expected, got = {}, {}
    for name, n in pairs(sum) do
      if n >= (ranks[limit] or 0) then
        expected[name], got[name] = n, found[name]
      end
    end
    return expected, got, found, sum
  end

  it("of which no part has many", function()
    local parts = {}
    for i = 1, 30 do parts[i] = { everywhere = 7, ["once" .. i] = 9 } end
    local expected, got = commonest(parts, 1)
    assert.same({ everywhere = 210 }, expected)
    assert.same(expected, got)
  end)

  it("with all that parts with few of them have", function()
    local parts = { { a = 1000, b = 999, c = 10 }, { a = 1, b = 3, cc = 7 } }
    assert.same({ b = 1002 }, (commonest(parts, 1)))
    assert.same({ b = 1002 }, select(2, commonest(parts, 1)))
  end)

  it("without touching what cannot be among them", function()
    local parts = { { a = 1000, b = 20, c = 1 }, { a = 1, b = 2, c = 3 } }
    assert.same({ a = 1001 }, select(3, commonest(parts, 1)))
  end)

  it("exactly, whatever the parts and the limit", function()
    math.randomseed(7)
    for round = 1, 60 do
      local parts = {}
      for i = 1, math.random(12) do
        parts[i] = {}
        for name = 1, math.random(40) do
          local most = math.random() < 0.2 and 400 or 12
          parts[i]["n" .. name % 25] = math.random(most)
        end
      end
      local expected, got = commonest(parts, math.random(12))
      assert.same(expected, got, "round " .. round)
    end
  end)
end)

describe("codestats sums up", function()
  local function file(bytes, language)
    return { language = language or "C", lines = 2, blank = 0, comment = 1,
             code = 1, bytes = bytes }
  end

  local function names(list)
    local found = {}
    for i, entry in ipairs(list) do found[i] = entry.name end
    return table.concat(found, " ")
  end

  local limits = { identifiers = 3, files = 2, imports = 2 }
  local found

  before_each(function()
    found = report.new()
    found.files = { a = file(5), b = file(9), c = file(5), d = file(9, "Lua"),
                    e = file(1) }
    found.identifiers = { C = { x = 3, w = 3, y = 3, z = 4, v = 1 },
                          Lua = { y = 4 } }
    found.imported = { C = { p = 1, q = 2 }, Lua = { r = 2 } }
  end)

  it("by language and for all", function()
    local sum = summary.of(found, limits)
    assert.equal(5, sum.totals.files)
    assert.equal(29, sum.totals.bytes)
    assert.equal("C", sum.languages[1].language)
    assert.equal(4, sum.languages[1].files)
    assert.equal(4, sum.languages[1].comment)
    assert.equal("r", names(sum.languages[2].most_included))
  end)

  it("with the lists in the order of names where numbers are equal", function()
    local sum = summary.of(found, limits)
    assert.equal("y z w", names(sum.identifiers))
    assert.equal("z w x", names(sum.languages[1].identifiers))
    assert.equal("b d", names(sum.largest_files))
    assert.equal("b a", names(sum.languages[1].largest_files))
    assert.equal("q r", names(sum.most_included))
  end)
end)

describe("codestats compares results", function()
  it("to the bottom, and says where they differ", function()
    local function one() return { files = { a = { lines = 1 } }, n = 2 } end
    assert.is_nil(report.difference(one(), one()))
    local other = one()
    other.files.a.lines = 2
    assert.equal("files/a/lines", report.difference(one(), other))
    other = one()
    other.files.b = {}
    assert.equal("files/b", report.difference(one(), other))
    assert.equal("files/b", report.difference(other, one()))
  end)
end)

describe("codestats writes JSON", function()
  it("that holds what was given", function()
    local value = { a = { 1, 2.5, "x" }, b = { c = true, d = false },
                    ["e\n\"\\\127\1"] = "\0\t/", f = {}, g = -12345678901234 }
    assert.same(value, (dkjson.decode(json.encode(value))))
  end)

  it("of valid UTF-8 for any bytes", function()
    local bad = "\239\191\189"
    for from, to in pairs {
      ["a\255b"] = "a" .. bad .. "b", ["\195"] = bad,
      ["\195\182"] = "\195\182", ["\192\128"] = bad .. bad,
      ["\237\160\128"] = bad .. bad .. bad, ["\226\130\172"] = "\226\130\172",
      ["\240\159\154\128\128"] = "\240\159\154\128" .. bad,
      ["\244\144\128\128"] = bad .. bad .. bad .. bad,
    } do
      assert.equal(to, json.utf8(from))
    end
  end)
end)

-- ---- the tree that the program is run on ----

local HOSTILE = "it's $(touch gone) `x` \"q\" \\ \n\27[1m\255.c"

local function make_tree()
  new_folder()
  assert(io.popen("mkdir -p " .. quote(folder .. "/tree/folder.c"))):close()
  write("tree/a.c", lines("#include <stdio.h>", "", "// one", "int main;"))
  write("tree/folder.c/b.lua", lines("local a = require 'b'", "-- two"))
  write("tree/" .. HOSTILE, "int x;\n")
  write("tree/-n.h", '#include "a.h"\n#include <stdio.h>\n')
  write("tree/binary.c", "int\0x;\n")
  write("tree/notes.txt", "no source\n")
  write("tree/.hidden.c", "int h;\n")
  shell "ln -s nowhere tree/gone.c; ln -s self.c tree/self.c"
  shell "ln -s a.c tree/again.c; ln -s . tree/loop; mkfifo tree/pipe.c"
end

describe("codestats lists files", function()
  before_each(make_tree)
  after_each(remove_folder)
  after_each(helper.nothing_left)

  local function list(...)
    return listing.files({ ... }, scan.language)
  end

  it("sorted, whatever their names hold, once each", function()
    local tree = folder .. "/tree"
    local expected = { tree .. "/-n.h", tree .. "/.hidden.c", tree .. "/a.c",
      tree .. "/binary.c", tree .. "/folder.c/b.lua", tree .. "/" .. HOSTILE }
    assert.same(expected, (list(tree, tree)))
    assert.equal("", shell "ls | grep gone")
  end)

  it("and names links that lead nowhere and what is no file", function()
    local tree = folder .. "/tree/"
    local _, skipped = list(folder .. "/tree")
    assert.same({
      [tree .. "gone.c"] = "broken symbolic link",
      [tree .. "self.c"] = "broken symbolic link",
      [tree .. "pipe.c"] = "not a regular file",
    }, skipped)
  end)

  it("through a link or a file that was asked for", function()
    assert.same({ folder .. "/tree/a.c" }, (list(folder .. "/tree/a.c")))
    assert.equal(6, #list(folder .. "/tree/loop"))
  end)

  it("or says which folder there is not", function()
    local files, why = list(folder, folder .. "/none")
    assert.is_nil(files)
    assert.equal("no such file or folder: " .. folder .. "/none", why)
  end)
end)

-- ---- the program ----

-- Run it: -> what it wrote to stdout and to stderr, its exit code.
local function run_with(options, ...)
  local words = { options, "examples/codestats.lua" }
  for _, word in ipairs { ... } do words[#words + 1] = quote(word) end
  local errors = folder .. "/stderr"
  local pipe = assert(io.popen("unset LUA_PATH_5_3 LUA_CPATH_5_3 LUA_PATH_5_4"
    .. " LUA_CPATH_5_4; LUA_PATH=" .. quote(library_path) .. " LUA_CPATH="
    .. quote(package.cpath) .. " " .. helper.interpreter .. " "
    .. table.concat(words, " ") .. " 2>" .. quote(errors)
    .. "; echo \"exit code $?\""))
  local stdout, code = pipe:read("*a"):match "^(.*)exit code (%d+)\n$"
  pipe:close()
  local file = assert(io.open(errors))
  local stderr = file:read "*a"
  file:close()
  return stdout, stderr, tonumber(code)
end

local function run(...)
  return run_with("", ...)
end

describe("the program codestats", function()
  before_each(make_tree)
  after_each(remove_folder)
  after_each(helper.nothing_left)

  it("prints tables, the times, and that both results are identical", function()
    local stdout, stderr, code = run(folder .. "/tree")
    assert.equal(0, code, stderr)
    assert.matches("\n  C +3 +6 +1 +1 +4\n", stdout)
    assert.matches("\n  Lua +1 +2 +0 +1 +1\n", stdout)
    assert.matches("\n  all +5 +10 +1 +2 +7\n", stdout)
    assert.matches("\n +1  C +stdio.h\n", stdout)
    assert.matches("\n%s+%d+ workers +%d+%.%d+ s\n", stdout)
    assert.matches("\none process +%d+%.%d+ s +%d+%.%d+ times as long\n",
                   stdout)
    assert.matches("\nBoth results are identical.\n$", stdout)
  end)

  it("counts and names what it leaves out", function()
    local stdout = run(folder .. "/tree")
    assert.matches("\n4 left out\n", stdout)
    for name, why in pairs {
      ["binary.c"] = "binary", ["gone.c"] = "broken symbolic link",
      ["self.c"] = "broken symbolic link", ["pipe.c"] = "not a regular file",
    } do
      assert.matches("\n  " .. why .. " +%S+/" .. name .. "\n", stdout)
    end
  end)

  it("keeps to 80 columns and prints no control characters", function()
    for _, option in ipairs { "--top=3", "--by-language" } do
      local stdout = run(option, folder .. "/tree")
      for line in stdout:gmatch "[^\n]*" do
        assert.is_true(#line:gsub("[\128-\191]", "") <= 80, line)
        assert.is_nil(line:find "%c", line)
      end
    end
  end)

  it("shows on stderr how far it is", function()
    local _, stderr = run(folder .. "/tree")
    assert.matches("\n100 %%.- 6/6 .-\n.-\n100 %%.- 6/6 ", stderr)
  end)

  it("prints JSON and nothing else", function()
    local stdout, _, code = run("--json", "--workers", "3", folder .. "/tree")
    local found, stop = dkjson.decode(stdout)
    assert.equal(0, code)
    assert.matches("^%s*$", stdout:sub(stop))
    assert.is_true(found.identical)
    assert.same({ folder .. "/tree" }, found.folders)
    assert.equal(3, found.seconds.workers)
    assert.is_true(found.seconds.parallel > 0)
    assert.equal(5, found.totals.files)
    assert.equal("C", found.languages[1].language)
    assert.equal(4, found.languages[1].code)
    assert.same({ name = "stdio.h", files = 1, language = "C" },
                found.most_included[3])
    assert.equal(4, #found.skipped)
    assert.same({ name = folder .. "/tree/binary.c", reason = "binary" },
                found.skipped[1])
  end)

  it("writes names that are no text into JSON as text", function()
    local found = dkjson.decode((run("--json", folder .. "/tree")))
    local names = {}
    for _, file in ipairs(found.largest_files) do names[file.name] = true end
    assert.is_true(names[folder .. "/tree/"
                         .. HOSTILE:gsub("\255", "\239\191\189")])
  end)

  it("makes its lists as long as asked", function()
    local found = dkjson.decode((run("--json", "--top", "2",
                                     folder .. "/tree")))
    assert.equal(2, #found.identifiers)
    assert.equal(2, #found.largest_files)
    assert.equal(2, #found.languages[1].largest_files)
    assert.equal(2, #found.most_included)
  end)

  it("takes several folders, odd names too, and files", function()
    local found = dkjson.decode((run("--json", "--", folder .. "/tree/a.c",
                                     folder .. "/tree/folder.c")))
    assert.equal(2, found.totals.files)
  end)

  it("says so when there is nothing to read", function()
    shell "mkdir empty"
    local stdout, _, code = run(folder .. "/empty")
    assert.equal(0, code)
    assert.matches("\n  all +0 +0 +0 +0 +0\n", stdout)
    local found = dkjson.decode((run("--json", folder .. "/empty")))
    assert.equal(0, found.totals.files)
    assert.same({}, { unpack(found.languages) })
  end)

  it("fails when the two results differ, and says where", function()
    local spoiled = [[
      package.path = "examples/?.lua;" .. package.path
      local scan, sk = require "codestats.scan", require "suitkaise"
      local file = scan.file
      function scan.file(...)
        local found, why = file(...)
        if found then found.bytes = sk.getpid() end
        return found, why
      end]]
    local stdout, _, code = run_with("-e " .. quote(spoiled), folder .. "/tree")
    assert.equal(1, code)
    assert.matches("\nThe results differ: %S+", stdout)
  end)

  it("finds the same when a worker is killed", function()
    local killer = [[
      package.path = "examples/?.lua;" .. package.path
      local scan, sk = require "codestats.scan", require "suitkaise"
      local file, parent, done = scan.file, sk.getpid(), sk.Flag()
      function scan.file(...)
        if sk.getpid() ~= parent and not done.value then
          done:set()
          os.execute("kill -9 " .. sk.getpid())
        end
        return file(...)
      end]]
    local stdout, stderr, code = run_with("-e " .. quote(killer),
                                          folder .. "/tree")
    assert.equal(0, code, stderr)
    assert.matches("\nBoth results are identical.\n$", stdout)
  end)

  it("explains itself", function()
    local stdout, stderr, code = run "--help"
    assert.equal(0, code)
    assert.equal("", stderr)
    for _, option in ipairs { "workers", "top", "by%-language", "json" } do
      assert.matches("\n  %-%-" .. option .. " ", stdout)
    end
  end)

  it("refuses a bad command line with exit code 2", function()
    for message, words in pairs {
      ["unknown option %-%-jsno"] = { "--jsno" },
      ["unknown option %-%-json=1"] = { "--json=1" },
      ["unknown option %-w"] = { "-w", "2" },
      ["%-%-workers: expected a number .-, got \"0\""] = { "--workers", "0" },
      ["%-%-workers: expected a number .-, got \"9999\""] =
        { "--workers=9999" },
      ["%-%-workers: expected a number .-, got nothing"] = { "--workers" },
      ["%-%-top: expected a number .-, got \"1e3\""] = { "--top", "1e3" },
      ["no such file or folder: /no/such"] = { "/no/such" },
    } do
      local stdout, stderr, code = run(unpack(words))
      assert.equal(2, code, message)
      assert.equal("", stdout)
      assert.matches("^codestats: " .. message .. "\n", stderr)
    end
  end)
end)
