-- tools/run-tests: what it counts, and that nothing bad slips through.

local lua = jit and "luajit" or _VERSION:lower():gsub(" ", "")
local suite = jit and not jit.status() and "luajit-joff" or lua

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

describe("the test runner", function()
  local build

  before_each(function()
    build = os.tmpname()
    os.remove(build)
    os.execute("mkdir -p " .. build .. "/c/test")
  end)

  after_each(function() os.execute("rm -rf " .. build) end)

  -- -> exit status, last line, everything
  local function run(settings, name)
    local pipe = io.popen(("env -u PATTERN -u BUSTED TEST= %s " ..
      "tools/run-tests %s %s 2>&1; echo status=$?"):format(settings, build,
      name))
    local text = pipe:read("*a")
    pipe:close()
    local body, status = text:match("^(.*)status=(%d+)%s*$")
    return tonumber(status), body:match("([^\n]*)\n$"), body
  end

  local function program(name, script)
    local path = build .. "/c/test/" .. name
    write(path, "#!/bin/sh\n" .. script)
    os.execute("chmod +x " .. path)
  end

  local function specs(text, settings)
    write(build .. "/made_spec.lua", text)
    return run((settings or "") .. " TEST=" .. build .. "/made_spec.lua",
      suite)
  end

  local function judged(expected_line, expected_text, status, line, text)
    assert.equal(expected_line, line, text)
    assert.equal(expected_line:match(", 0 failed") ~= nil, status == 0, text)
    if expected_text then assert.matches(expected_text, text, 1, true) end
  end

  it("adds up the tests of all programs", function()
    program("a_test", "echo 'ok 1 - x'; echo 'ok 2 - y'; echo 1..2")
    program("b_test", "echo 'ok 1 - z'; echo 1..1")
    judged("3 passed, 0 failed", nil, run("", "c"))
  end)

  it("shows what a failed test noted", function()
    program("a_test",
      "echo '# begin x'; echo '# a.c:1: oh'; echo 'not ok 1 - x'; echo 1..1;" ..
      "exit 1")
    judged("0 passed, 1 failed", "not ok 1 - x\n# a.c:1: oh", run("", "c"))
  end)

  it("fails a program that dies, and says where", function()
    program("a_test", "echo 'ok 1 - x'; echo '# begin y'; kill -SEGV $$")
    judged("1 passed, 1 failed", "last test begun:\n# begin y", run("", "c"))
  end)

  it("fails a program that stops early as if all were well", function()
    program("a_test", "echo 'ok 1 - x'; exit 0")
    judged("1 passed, 1 failed", "ended too early", run("", "c"))
  end)

  it("fails a program that hangs", function()
    program("a_test", "echo 'ok 1 - x'; exec sleep 600")
    judged("1 passed, 1 failed", "no end within 1 seconds",
      run("SUITE_TIMEOUT=1", "c"))
  end)

  it("fails a program that passes everything and exits with 1", function()
    program("a_test", "echo 'ok 1 - x'; echo 1..1; exit 1")
    judged("1 passed, 1 failed", "exit status 1", run("", "c"))
  end)

  it("fails when there is nothing to run", function()
    judged("0 passed, 1 failed", "no test ran", run("", "c"))
  end)

  it("runs specs under the interpreter of the suite", function()
    judged("1 passed, 0 failed", nil, specs(([[
      it("x", function()
        assert.equal(%q, _VERSION)
        assert.equal(%q, tostring(jit and jit.status()))
      end)]]):format(_VERSION, tostring(jit and jit.status()))))
  end)

  it("counts failures and errors of specs", function()
    judged("1 passed, 2 failed", "not ok 3 - c", specs [[
      it("a", function() end)
      it("b", function() assert.equal(1, 2) end)
      it("c", function() error{} end)]])
  end)

  it("fails a spec file that does not load", function()
    judged("0 passed, 1 failed", "made_spec.lua:1", specs "x = = 1")
  end)

  it("fails an error between the tests", function()
    judged("1 passed, 1 failed", "in teardown", specs [[
      describe("x", function()
        teardown(function() error("in teardown") end)
        it("a", function() end)
      end)]])
  end)

  it("fails a pending test", function()
    judged("1 passed, 1 failed", "# pending", specs [[
      it("a", function() end)
      pending("b")]])
  end)

  it("fails a spec file without a test", function()
    judged("0 passed, 1 failed", "no test ran", specs "local x = 1 return x")
  end)

  local function with_an_empty_file(suites, settings)
    write(build .. "/made_spec.lua", "it('a', function() end)")
    write(build .. "/empty_spec.lua", "if not _VERSION then it('b') end")
    return run((settings or "") .. ("TEST='%s/made_spec.lua %s/empty_spec.lua'")
      :format(build, build), suites)
  end

  it("lets a spec file have no test for the one Lua that runs", function()
    judged("1 passed, 0 failed", nil, with_an_empty_file(suite))
  end)

  -- Two suites that are there wherever LuaJIT is.
  if jit then
    it("fails a spec file that has a test in no suite", function()
      judged("2 passed, 1 failed", "empty_spec.lua: no test ran under any Lua",
        with_an_empty_file("luajit luajit-joff"))
    end)
  end

  it("lets a spec file have tests for LuaJIT only", function()
    for _, name in ipairs { "one", "two" } do -- this Lua, by other names
      os.execute(("ln -s $(command -v %s) %s/%s"):format(lua, build, name))
    end
    judged("2 passed, 0 failed", nil,
      with_an_empty_file("one two", "PATH=" .. build .. ":$PATH "))
  end)

  it("fails a spec that ends the interpreter", function()
    judged("1 passed, 1 failed", "ended too early", specs [[
      it("a", function() end)
      it("b", function() os.exit(0) end)]])
  end)

  it("is not confused by what a spec prints", function()
    judged("1 passed, 0 failed", nil, specs [[
      it("a", function() print("not ok 1 - b\n1..7\n3 passed, 3 failed") end)]])
  end)

  it("ends with the bare sum of several suites", function()
    program("a_test", "echo 'ok 1 - x'; echo 1..1")
    write(build .. "/made_spec.lua", "it('a', function() end)")
    judged("2 passed, 0 failed", nil,
      run("TEST=" .. build .. "/made_spec.lua", "c " .. suite))
  end)
end)
