-- What Skfunction promises: calls, modifiers, names, bound arguments.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local skf, skfunction = sk.skf, sk.skfunction
local has_bytecode = helper.lua == "luajit"

local function raises(class, pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(sk.is(err, class), tostring(err))
  assert.matches(pattern, tostring(err))
  return err
end

local function count_of(...) return select("#", ...) end

describe("Skfunction", function()
  after_each(helper.nothing_left)

  it("is called like the function", function()
    local f = skf(function(...) return ... end)
    assert.equal(4, count_of(f(1, nil, "x", nil)))
    assert.equal(0, count_of(f()))
    local a, b, c = f(1, nil, "x")
    assert.same({ 1, "x" }, { a, c })
    assert.is_nil(b)
  end)

  it("raises the function's error unchanged", function()
    local thrown = {}
    local ok, err = pcall(skf(function() error(thrown) end))
    assert.is_false(ok)
    assert.equal(thrown, err)
  end)

  it("takes anything that can be called, and itself", function()
    local object = setmetatable({}, { __call = function(_, x) return x end })
    local f = skf(object)
    assert.equal(3, f(3))
    assert.equal(f, skf(f))
  end)

  it("is left as it was by its modifiers", function()
    local calls = 0
    local f = skf(function() calls = calls + 1 error "no" end)
    local view = f:retry { times = 3, delay = 0 }
    assert.is_false(pcall(f))
    assert.equal(1, calls)
    assert.is_false(pcall(view))
    assert.equal(4, calls)
  end)

  it("has a name, given or where it is written", function()
    assert.equal("fetch", skf(function() end, { name = "fetch" }).name)
    assert.matches("skfunction_spec.lua:%d+$", skf(function() end).name)
    assert.equal("Skfunction: fetch",
                 tostring(skf(function() end, { name = "fetch" })))
  end)

  it("tells what it reads and writes, and which calls may wait", function()
    local config = { fps = 1 }
    local f = skf(function() config.n = config.fps os.execute "true" end)
    if has_bytecode then
      assert.same({ "config.fps" }, f.reads)
      assert.same({ "config.n" }, f.writes)
      assert.is_false(f.is_pure)
      assert.same({ "os.execute" }, f.blocking_calls)
      assert.is_true(skf(function(x) return x + 1 end).is_pure)
    else
      assert.same({ "all", "all", { "os.execute" } },
                  { f.reads, f.writes, f.blocking_calls })
      assert.is_nil(f.is_pure)
    end
  end)

  it("reads and writes what is declared", function()
    local f = skf(function() end, { reads = { "a" }, writes = { "b" } })
    assert.same({ { "a" }, { "b" } }, { f.reads, f.writes })
  end)

  it("refuses names of what it reads that are none", function()
    for _, bad in ipairs { { 1 }, { a = true }, { print } } do
      raises("ArgumentError", "skf: writes must be an array of names, got ",
             skf, print, { writes = bad })
    end
  end)

  it("keeps modifiers and bindings when it gets options", function()
    local calls = 0
    local f = skf(function(a, b) calls = calls + 1 error(a .. b, 0) end)
    local named = skf(f:retry { times = 3, delay = 0 }:bind { a = "x" },
                      { name = "named", writes = { "log" } })
    local _, err = pcall(named, "y")
    assert.same({ "xy", 3, "named" }, { err, calls, named.name })
    assert.same({ "log" }, named.writes)
    assert.equal(f.fn, named.fn)
    raises("ArgumentError", "kind must be given before modifiers, got",
           skf, f:retry {}, { kind = "generator" })
  end)

  it("makes each method of a class one", function()
    local Api = sk.class "SkfApi"
    function Api:init(base) self.base = base end
    function Api:get(path) return self.base .. path end
    function Api:__tostring() return "api " .. self.base end
    assert.equal(Api, skf(Api))
    local api = Api "http://x/"
    assert.equal("http://x/y", api:get "y")
    assert.equal("http://x/y", Api.get:retry { times = 2 }(api, "y"))
    assert.equal("api http://x/", tostring(api))
    assert.equal("get", Api.get.name)
  end)

  it("has methods whose reads and writes are found", function()
    local Api = sk.class "SkfFields"
    function Api:add(x) self.sum = self.sum + x end
    skf(Api)
    local writes = require "suitkaise.detect".method(Api, "add").writes
    assert.same(has_bytecode and { sum = true } or "all", writes)
  end)

  it("works in a Pool", function()
    local pool = sk.Pool { workers = 2 }
    local results = pool:map(skf(function(x) return x * 2 end), { 1, 2, 3 })
    assert.same({ 2, 4, 6 }, { results[1], results[2], results[3] })
    pool:close()
  end)

  it("loads nothing that it does not need, and starts nothing", function()
    local output = helper.run [[
      local skf = require "suitkaise.skfunction".skf
      local f = skf(function(x) return x end)
      f:retry { times = 2 }(1)
      for name in pairs(package.loaded) do
        if name:find "background" or name:find "pool" or name:find "detect"
           or name:find "shared" or name:find "cerial" then print(name) end
      end
    ]]
    assert.equal("", output)
  end)

  it("refuses what makes no sense", function()
    local f = skf(function() end)
    raises("ArgumentError", "fn must be a function, got 3", skf, 3)
    raises("ArgumentError", "fn must be a function, got table", skf, {})
    raises("ArgumentError", 'unknown option "nmae"; did you mean "name"',
           skf, print, { nmae = "x" })
    raises("ArgumentError", 'has no "retyr"; did you mean "retry"',
           function() return f.retyr end)
    raises("ArgumentError", "cannot be assigned", function() f.name = 1 end)
    raises("ArgumentError", "with a colon", f.retry, { times = 2 })
    raises("ArgumentError", "times must be a whole number of at least 1",
           f.retry, f, { times = 0 })
    raises("ArgumentError", 'unknown option "time"', f.retry, f, { time = 1 })
    raises("ArgumentError", "jitter must be a number from 0 to 1", f.retry, f,
           { jitter = 2 })
    raises("ArgumentError", "seconds must be .* above 0, got 0", f.timeout, f,
           0)
    raises("ArgumentError", "seconds must be", f.timeout, f, "1")
    raises("ArgumentError", 'unknown option "isolated"', f.timeout, f, 1,
           { isolated = true })
    raises("ArgumentError", "per_second must be", f.rate_limit, f, 0)
    raises("ArgumentError", "per_second must be", f.rate_limit, f, 0 / 0)
    raises("ArgumentError", "schedule must be a Counter", f.rate_limit, f, 1,
           {})
  end)

  it("raises at its user's line", function()
    local err = raises("ArgumentError", "^.*skfunction_spec", skf, 3)
    assert.matches("skfunction_spec%.lua:%d+$", err.where)
  end)
end)

describe("retry", function()
  -- A function that fails `n` times.
  local function flaky(n)
    local calls = { n = 0 }
    return skf(function(...)
      calls.n = calls.n + 1
      if calls.n <= n then error({ call = calls.n }) end
      return "done", ...
    end), calls
  end

  it("tries again until it works", function()
    local f, calls = flaky(2)
    assert.equal(4, count_of(f:retry { times = 5, delay = 0 }(1, nil, nil)))
    assert.equal(3, calls.n)
  end)

  it("makes as many attempts in all as it is told", function()
    local f, calls = flaky(9)
    local ok, err = pcall(f:retry { times = 3, delay = 0 })
    assert.is_false(ok)
    assert.equal(3, calls.n)
    assert.equal(3, err.call)
  end)

  it("keeps the earlier errors on the last one", function()
    local f = flaky(9)
    local _, err = pcall(f:retry { times = 3, delay = 0 })
    assert.same({ { call = 1 }, { call = 2 } }, err.attempts)
  end)

  it("has no errors of an earlier call on one that is raised again",
     function()
    local always = {}
    local f = skf(function() error(always, 0) end)
    pcall(f:retry { times = 3, delay = 0 })
    assert.equal(2, #always.attempts)
    pcall(f:retry { times = 2, delay = 0 })
    assert.equal(1, #always.attempts)
    pcall(f:retry { times = 1 })
    assert.is_nil(always.attempts)
    always.attempts = "the user's"
    pcall(f:retry { times = 2, delay = 0 })
    assert.equal("the user's", always.attempts)
  end)

  it("raises the last error unchanged when it is no table", function()
    local f = skf(function() error("text", 0) end)
    local _, err = pcall(f:retry { times = 2, delay = 0 })
    assert.equal("text", err)
  end)

  it("tries only what is worth it", function()
    local f, calls = flaky(9)
    local seen = {}
    local ok, err = pcall(f:retry { times = 9, delay = 0,
      only = function(e, attempt)
        seen[attempt] = e.call
        return e.call < 2
      end })
    assert.is_false(ok)
    assert.equal(2, calls.n)
    assert.equal(2, err.call)
    assert.same({ 1, 2 }, seen)
  end)

  it("waits between the attempts, longer each time", function()
    local times = {}
    local f = skf(function()
      times[#times + 1] = core.now()
      error "no"
    end)
    pcall(f:retry { times = 4, delay = 0.02, backoff_factor = 2 })
    assert.is_true(times[2] - times[1] >= 0.02)
    assert.is_true(times[3] - times[2] >= 0.04)
    assert.is_true(times[4] - times[3] >= 0.08)
  end)

  it("varies the waits by the jitter, and stays within it", function()
    local times = {}
    local f = skf(function()
      times[#times + 1] = core.now()
      error "no"
    end)
    pcall(f:retry { times = 6, delay = 0.02, jitter = 0.5 })
    local first, differs = nil, false
    for i = 2, 6 do
      local wait = times[i] - times[i - 1]
      assert.is_true(wait >= 0.01)
      first = first or wait
      differs = differs or math.abs(wait - first) > 1e-4
    end
    assert.is_true(differs)
  end)

  it("tries once when it is told to", function()
    local f, calls = flaky(9)
    assert.is_false(pcall(f:retry { times = 1 }))
    assert.equal(1, calls.n)
  end)

  it("does not try again after Ctrl-C", function()
    for _, err in ipairs { "interrupted!",
                           sk.errors.new("Interrupted", "stop") } do
      local calls = 0
      local f = skf(function() calls = calls + 1 error(err, 0) end)
      pcall(f:retry { times = 3, delay = 0 })
      assert.equal(1, calls)
    end
  end)
end)

describe("rate_limit", function()
  after_each(helper.nothing_left)

  local function times_of(f, n)
    local times = {}
    for i = 1, n do
      f()
      times[i] = core.now()
    end
    return times
  end

  it("spaces the calls evenly, the first one at once", function()
    local begun = core.now()
    local times = times_of(skf(function() end):rate_limit(50), 5)
    for i = 1, 5 do
      assert.is_true(times[i] - begun >= (i - 1) * 0.02 - 1e-4)
    end
  end)

  it("is shared by all views of a function", function()
    local f = skf(function() end)
    local a, b = f:rate_limit(50), f:rate_limit(50)
    local begun = core.now()
    for _ = 1, 3 do a() b() end
    assert.is_true(core.now() - begun >= 5 * 0.02 - 1e-4)
  end)

  it("is shared by all processes", function()
    local f = skf(function() end):rate_limit(50)
    local begun = core.now()
    local children = {}
    for i = 1, 3 do children[i] = helper.fork(function() f() f() end) end
    for i = 1, 3 do assert.equal(0, (children[i]:finish())) end
    f()
    assert.is_true(core.now() - begun >= 6 * 0.02 - 1e-4)
  end)

  it("may be shared by functions", function()
    local schedule = sk.Counter()
    local f = skf(function() end):rate_limit(50, schedule)
    local g = skf(function() end):rate_limit(50, schedule)
    local begun = core.now()
    f() g() f()
    assert.is_true(core.now() - begun >= 2 * 0.02 - 1e-4)
  end)

  it("gives each moment to one of many processes", function()
    local limiter = require "suitkaise.skfunction.limiter"
    local schedule, list, children = sk.Counter(), {}, {}
    local begun = math.floor(core.now() * 1e6)
    for i = 1, 4 do
      children[i] = helper.fork(function()
        for _ = 1, 2000 do limiter.reserve(schedule, 1000) end
      end)
    end
    for i = 1, 2000 do list[i] = limiter.reserve(schedule, 1000) end
    for i = 1, 4 do assert.equal(0, (children[i]:finish())) end
    for i = 2, 2000 do assert.is_true(list[i] - list[i - 1] > 0.9e-3) end
    assert.is_true(schedule.value - begun >= 10000 * 1000)
  end)

  it("is not slowed down by attempts", function()
    local n = 0
    local f = skf(function() n = n + 1 if n < 3 then error "no" end end)
    local begun = core.now()
    f:retry { times = 3, delay = 0 }:rate_limit(0.001)()
    assert.is_true(core.now() - begun < 100)
    assert.equal(3, n)
  end)
end)

describe("background", function()
  after_each(helper.nothing_left)

  it("returns a Future of the function's results", function()
    local f = skf(function(a, b) return a + b, sk.getpid() end)
    local sum, pid = f:background()(1, 2):result(20)
    assert.equal(3, sum)
    assert.are_not.equal(sk.getpid(), pid)
  end)

  it("retries there, whatever the order of the modifiers", function()
    local n = sk.Counter()
    local f = skf(function()
      if n:increment() % 3 ~= 0 then error "no" end
      return "yes"
    end)
    local how = { times = 3, delay = 0 }
    assert.equal("yes", f:background():retry(how)():result(20))
    assert.equal("yes", f:retry(how):background()():result(20))
    assert.equal(6, n.value)
  end)

  it("takes its moment here and waits for it there", function()
    local f = skf(function() return core.now() end):rate_limit(20):background()
    local begun = core.now()
    local futures = { f(), f(), f() }
    for i = 1, 3 do
      assert.is_true(futures[i]:result(20) - begun >= (i - 1) * 0.05 - 1e-4)
    end
  end)
end)

describe("arguments by name", function()
  local function join(...)
    local t = { ... }
    for i = 1, select("#", ...) do t[i] = tostring(t[i]) end
    return table.concat(t, " ")
  end

  local function mail(to, subject, body) return join(to, subject, body) end

  before_each(function()
    for _, name in ipairs(skfunction.names()) do skfunction.unregister(name) end
  end)

  it("are bound, and the others are given in their order", function()
    local f = skf(mail):bind { subject = "hi" }
    assert.equal("x hi text", f("x", "text"))
    assert.equal("x hi nil", f("x"))
    assert.equal("y hi bye", f:bind { to = "y" }("bye"))
  end)

  it("go together with a vararg", function()
    local f = skf(function(a, b, ...) return join(a, b, ...) end)
    assert.equal("1 2 3 4", f:bind { b = 2 }(1, 3, 4))
    assert.equal("1 2", f:bind { b = 2, a = 1 }())
  end)

  it("may be false", function()
    assert.equal("false 1", skf(join):bind {}(false, 1))
    assert.equal("false 1 nil", skf(mail):bind { to = false }(1))
  end)

  it("are given by name to execute, and win over bound ones", function()
    local f = skf(mail):bind { to = "x", body = "b" }
    assert.equal("x hi b", f:execute { subject = "hi" })
    assert.equal("y nil b", f:execute { to = "y" })
    assert.equal("x nil b", f:execute())
    assert.equal("nil hi nil", skf(mail):execute { subject = "hi" })
  end)

  it("are kept by modifiers", function()
    local f = skf(mail):bind { to = "x" }:retry { times = 2 }
    assert.equal("x 1 2", f(1, 2))
    assert.equal("x 1 2", f:execute { subject = 1, body = 2 })
  end)

  it("that are none are refused, with the nearest", function()
    raises("ArgumentError", 'no parameter "subjetc"; did you mean "subject"',
           function() return skf(mail):bind { subjetc = 1 } end)
    raises("ArgumentError", 'no parameter "x"', function()
      return skf(mail):execute { x = 1 }
    end)
    raises("ArgumentError", "must be a table by name, got 3", function()
      return skf(mail):bind(3)
    end)
  end)

  it("cannot be bound where there are no names", function()
    raises("ArgumentError", "a C function has no names", function()
      return skf(tonumber):bind { x = 1 }
    end)
    raises("ArgumentError", "an object that can be called has no names",
           function()
      return skf(setmetatable({}, { __call = mail })):bind { to = 1 }
    end)
    local stripped = (loadstring or load)(string.dump(mail, true))
    local ok, found = pcall(debug.getlocal, stripped, 1)
    if ok and found == "to" then return end -- 5.1 strips nothing
    if not ok then return end
    raises("ArgumentError", "names are not in its bytecode", function()
      return skf(stripped):bind { to = 1 }
    end)
  end)

  it("are told from other locals, whatever is in the function", function()
    local upvalue = 1
    local function check(fn, names, other)
      for _, name in ipairs(names) do
        assert.equal(7, (skf(fn):bind { [name] = 7 }(7, 7, 7)))
      end
      raises("ArgumentError", "no parameter", function()
        return skf(fn):bind { [other] = 1 }
      end)
    end
    check(function(a) local b b = a return b end, { "a" }, "b")
    check(function(a, arg) return arg and a end, { "a", "arg" }, "b")
    check(function(a, ...) local b = a return b, ... end, { "a" }, "b")
    check(function(self, x)
      local function inner(y) return y == "text" and upvalue + 1.5 end
      if inner(nil) or x == true then return x end
      for i = 1, 0 do upvalue = i end
      return self or false
    end, { "self" }, "y")
    local function empty(_, b) end -- luacheck: ignore
    assert.is_nil(skf(empty):bind { _ = 1, b = 1 }())
    assert.equal(0, skf(function(_, ...)
      local b -- luacheck: ignore
      return select("#", ...), b
    end):bind { _ = 1 }())
  end)

  it("do not run the function to be found", function()
    local calls = 0
    local f = skf(function(a) calls = calls + 1 return a end)
    local bound = f:bind { a = 1 }
    assert.equal(0, calls)
    assert.equal(1, bound())
    assert.equal(1, calls)
  end)

  it("are registered under names, several for one function", function()
    skfunction.register("to x", mail, { to = "x" })
    skfunction.register("to y", mail, { to = "y" })
    assert.equal("x hi nil", skfunction.get("to x"):execute { subject = "hi" })
    assert.equal("y hi nil", skfunction.get("to y"):execute { subject = "hi" })
    assert.same({ "to x", "to y" }, skfunction.names())
    assert.equal("to x", skfunction.get("to x").name)
    assert.is_true(skfunction.unregister "to x")
    assert.is_false(skfunction.unregister "to x")
  end)

  it("that nobody registered are refused, with the nearest", function()
    skfunction.register("mail", mail)
    raises("ArgumentError", 'as "mial"; did you mean "mail"', skfunction.get,
           "mial")
    raises("ArgumentError", "name must be a string", skfunction.get, 3)
    raises("ArgumentError", "name must be a string", skfunction.register, "",
           mail)
    raises("ArgumentError", "fn must be a function", skfunction.register, "x",
           3)
  end)

  it("are bound one by one by a builder", function()
    local f = skfunction.build(mail):set("to", "x"):set("body", "b"):done()
    assert.equal("x hi b", f "hi")
    raises("ArgumentError", 'no parameter "x"', function()
      skfunction.build(mail):set("x", 1)
    end)
    local builder = skfunction.build(mail)
    raises("ArgumentError", "build:set: name must be a parameter's name, got",
           builder.set, builder)
    for _, method in ipairs { "set", "done" } do
      raises("ArgumentError", "self must be what build returned",
             builder[method], "to")
      raises("ArgumentError", "self must be", builder[method])
    end
  end)

  it("register themselves at the first call", function()
    local f = skfunction.autoregister(mail, "auto")
    assert.same({}, skfunction.names())
    f(1)
    f(2)
    assert.same({ "auto" }, skfunction.names())
    assert.equal("1 2 3", skfunction.get "auto"(1, 2, 3))
    skfunction.autoregister(function() end)()
    assert.equal(2, #skfunction.names())
  end)
end)

describe("kinds of functions:", function()
  it("both kinds are functions", function()
    assert.is_true(skfunction.is_function(print))
    assert.is_true(skfunction.is_function(skf(print)))
    assert.is_false(skfunction.is_function {})
    assert.is_false(skfunction.is_function(nil))
  end)

  it("functions among the arguments may be converted", function()
    local f = skfunction.convert_callables(function(fn, x, n)
      return fn:retry { times = n, delay = 0 }(x), n
    end)
    local calls = 0
    local result, n = f(function(x)
      calls = calls + 1
      if calls < 3 then error "no" end
      return x
    end, "x", 3)
    assert.same({ "x", 3 }, { result, n })
  end)

  local function numbers(n)
    for i = 1, n do coroutine.yield(i, i * i) end
    return "end"
  end

  it("generators yield their items", function()
    local f = skf(numbers, { kind = "generator" })
    local seen = {}
    for i, square in f(3) do seen[i] = square end
    assert.same({ 1, 4, 9 }, seen)
    assert.equal("generator", f.kind)
    assert.equal(1, (f(3)()))
  end)

  it("generators take bound arguments and a rate", function()
    local f = skf(numbers, { kind = "generator" })
    local seen, begun = 0, core.now()
    for _ in f:bind { n = 3 }:rate_limit(50)() do seen = seen + 1 end
    assert.equal(3, seen)
    assert.is_true(core.now() - begun >= 2 * 0.02 - 1e-4)
  end)

  it("generators have their time limit for each step", function()
    local f = skf(function()
      coroutine.yield(1)
      while true do end
    end, { kind = "generator" })
    local step = f:timeout(0.05)()
    assert.equal(1, step())
    raises("FunctionTimeoutError", "longer than 0.05 s", step)
    assert.is_nil(step())
  end)

  it("generators raise their errors, and are over then", function()
    local step = skf(function() error "broken" end, { kind = "generator" })()
    local ok, err = pcall(step)
    assert.is_false(ok)
    assert.matches("broken", err)
    assert.is_nil(step())
  end)

  it("generators cannot be begun again or be moved", function()
    local f = skf(numbers, { kind = "generator" })
    for _, name in ipairs { "retry", "background" } do
      raises("ArgumentError", name .. ": a generator cannot", f[name], f)
    end
    raises("ArgumentError", "timeout: a generator cannot", f.timeout, f, 1,
           { isolate = true })
  end)
end)

describe("Skfunction, serialized,", function()
  after_each(helper.nothing_left)

  local function copy(f)
    return sk.cerial.deserialize(sk.cerial.serialize(f), { trusted = true })
  end

  it("goes by reference when its function does", function()
    local module = { double = function(x) return x * 2 end }
    package.loaded["spec.skf_module"] = module
    local bytes = sk.cerial.serialize(skf(module.double))
    assert.is_not_nil(bytes:find("spec.skf_module", 1, true))
    assert.equal(module.double,
                 sk.cerial.deserialize(bytes, { trusted = true }).fn)
    package.loaded["spec.skf_module"] = nil
  end)

  it("keeps its modifiers, bindings, name and schedule", function()
    local calls = sk.Counter()
    local f = skf(function(a, b)
      if calls:increment() < 3 then error "no" end
      return a, b
    end, { name = "pair" })
    local view = f:bind { a = 1 }:retry { times = 3, delay = 0 }
    local there = copy(view:rate_limit(1000))
    assert.equal("pair", there.name)
    local a, b = there(2)
    assert.same({ 1, 2, 3 }, { a, b, calls.value })
  end)

  it("shares its schedule with the original", function()
    local f = skf(function() end):rate_limit(50)
    local there = copy(f)
    local begun = core.now()
    f() there() f()
    assert.is_true(core.now() - begun >= 2 * 0.02 - 1e-4)
  end)

  it("runs in workers with its modifiers", function()
    local calls = sk.Counter()
    local f = skf(function(x)
      if calls:increment() % 2 == 1 then error "no" end
      return x
    end):retry { times = 2, delay = 0 }
    local pool = sk.Pool { workers = 1 }
    assert.equal(3, pool:map(f, { 1, 2, 3 }).n)
    pool:close()
    assert.equal(6, calls.value)
  end)
end)
