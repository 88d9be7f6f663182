-- What time limits of Skfunctions promise, here and isolated.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local skf = sk.skf
local jit = rawget(_G, "jit")

local LIMIT = 0.05
local PATIENCE = 20 -- nothing here may take so long

-- It ends in a FunctionTimeoutError, and that long before a hang would.
local function is_late(view, ...)
  local begun = core.now()
  local ok, err = pcall(view, ...)
  assert.is_false(ok)
  assert.is_true(sk.is(err, "FunctionTimeoutError"), tostring(err))
  assert.is_true(core.now() - begun < PATIENCE)
  return err
end

local function spin() while true do end end

local was_compiling = jit and jit.status()

describe("timeout, here,", function()
  after_each(function()
    helper.nothing_left()
    if jit then assert.equal(was_compiling, jit.status()) end
  end)

  it("lets what is quick enough through, nils too", function()
    local f = skf(function(...) return ... end):timeout(PATIENCE)
    assert.equal(3, select("#", f(1, nil, nil)))
    local ok, err = pcall(skf(function() error("x", 0) end):timeout(PATIENCE))
    assert.same({ false, "x" }, { ok, err })
  end)

  it("ends an endless loop, and says whose", function()
    local err = is_late(skf(spin, { name = "spin" }):timeout(LIMIT))
    assert.equal(LIMIT, err.timeout)
    assert.matches("spin took longer than 0.05 s", tostring(err))
    assert.matches("skfunction_timeout_spec", err.where)
  end)

  it("ends a loop in what it calls", function()
    local function inner() spin() end
    is_late(skf(function() inner() end):timeout(LIMIT))
  end)

  -- Loops that end by themselves, too late, so that a failure is no hang.
  local function long(n)
    local sum = 0
    for i = 1, n do sum = sum + i % 7 end
    return sum
  end

  local LONG = helper.lua == "luajit" and jit.status() and 2e10 or 2e9

  it("ends a loop that was compiled before", function()
    local function outer(n) return long(n) end
    for _ = 1, 200 do outer(100) end
    is_late(skf(outer):timeout(LIMIT), LONG)
  end)

  it("ends a compiled loop in a module's function", function()
    local module = { long = function(n)
      local sum = 0
      for i = 1, n do sum = sum + i % 5 end
      return sum
    end }
    for _ = 1, 200 do module.long(100) end
    is_late(skf(function(n) return module.long(n) end):timeout(LIMIT), LONG)
  end)

  it("ends a compiled loop in a method of an argument", function()
    local Class = {}
    Class.__index = Class
    function Class:long(n)
      for i = 1, n do self.sum = (self.sum or 0) + i % 3 end
    end
    local object = setmetatable({}, Class)
    for _ = 1, 200 do object:long(100) end
    is_late(skf(function(o, n) o:long(n) end):timeout(LIMIT), object, LONG)
  end)

  it("ends a compiled loop in a function that is an argument", function()
    local function work(n)
      local sum = 0
      for i = 1, n do sum = sum + i % 11 end
      return sum
    end
    for _ = 1, 200 do work(100) end
    is_late(skf(function(fn, n) return fn(n) end):timeout(LIMIT), work, LONG)
  end)

  it("cannot be caught for ever", function()
    is_late(skf(function() while true do pcall(spin) end end):timeout(LIMIT))
    is_late(skf(function()
      while true do
        pcall(function() while true do pcall(spin) end end)
      end
    end):timeout(LIMIT))
  end)

  it("is raised even when the function caught it and returned", function()
    is_late(skf(function() pcall(spin) return "fine" end):timeout(LIMIT))
  end)

  it("keeps the error that the function made of it", function()
    local f = skf(function()
      local ok = pcall(spin)
      if not ok then error("my own", 0) end
    end)
    assert.equal("my own", is_late(f:timeout(LIMIT)).original_error)
  end)

  it("lets what catches it clean up", function()
    local cleaned = 0
    is_late(skf(function()
      local ok, err = pcall(spin)
      for _ = 1, 1000 do cleaned = cleaned + 1 end
      if not ok then error(err, 0) end
    end):timeout(LIMIT))
    assert.equal(1000, cleaned)
  end)

  it("is raised after a C function that was too long", function()
    is_late(skf(function() core.wait({}, {}, "eager", 2 * LIMIT) end)
              :timeout(LIMIT))
  end)

  it("is nested: the inner one ends first", function()
    local inner = skf(spin):timeout(LIMIT)
    local f = skf(function()
      local ok, err = pcall(inner)
      return ok, err.timeout
    end):timeout(PATIENCE)
    local ok, seconds = f()
    assert.same({ false, LIMIT }, { ok, seconds })
  end)

  it("is nested: the outer one ends both", function()
    local inner = skf(spin):timeout(PATIENCE)
    local err = is_late(skf(function() inner() end):timeout(LIMIT))
    assert.equal(LIMIT, err.timeout)
  end)

  it("is for each attempt", function()
    local n = 0
    local f = skf(function() n = n + 1 if n < 3 then spin() end return n end)
    local how = { times = 3, delay = 0 }
    assert.equal(3, f:timeout(LIMIT):retry(how)())
    n = 0
    assert.equal(3, f:retry(how):timeout(LIMIT)())
  end)

  it("leaves hooks and the compiler as they were", function()
    local calls = 0
    local function hook() calls = calls + 1 end
    debug.sethook(hook, "", 12345)
    local was = jit and jit.status()
    is_late(skf(spin):timeout(LIMIT))
    skf(function() end):timeout(LIMIT)()
    local now, mask, count = debug.gethook()
    debug.sethook()
    assert.same({ hook, "", 12345 }, { now, mask, count })
    if jit then assert.equal(was, jit.status()) end
  end)

  if jit then
    it("turns the compiler on again, and not when it was off", function()
      local code = [[
        local f = require "suitkaise.skfunction".skf(function(x)
          if x then error "no" end
        end):timeout(10)
        f()
        pcall(f, true)
        print(jit.status())]]
      assert.matches("^true", helper.run(code))
      assert.matches("^false", helper.run(code, "-joff"))
    end)
  end

  it("hits nobody after its end", function()
    is_late(skf(spin):timeout(LIMIT))
    local begun, n = core.now(), 0
    while core.now() - begun < 3 * LIMIT do n = n + 1 end
    assert.is_true(n > 0)
    assert.is_nil((debug.gethook()))
  end)

  it("ends with a fork: not in what runs in the background", function()
    local go = sk.Flag()
    local later = skf(function()
      local hook, compiles = debug.gethook(), jit and jit.status()
      go:wait()
      local n = 0
      for i = 1, 1e5 do n = n + i % 2 end
      return n, compiles, hook ~= nil
    end):background()
    local future
    local begun = core.now()
    is_late(skf(function()
      future = later()
      spin()
    end):timeout(LIMIT))
    helper.wait_until(function() return core.now() - begun > 2 * LIMIT end)
    go:set()
    local n, compiles, has_hook = future:result(PATIENCE)
    assert.equal(5e4, n)
    assert.equal(was_compiling, compiles)
    assert.is_false(has_hook)
  end)

  it("ends with a fork of any kind", function()
    local child
    is_late(skf(function()
      child = helper.fork(function()
        local begun, n = core.now(), 0
        while core.now() - begun < 3 * LIMIT do n = n + 1 end
        assert(n > 0 and not debug.gethook())
      end)
      spin()
    end):timeout(LIMIT))
    assert.equal(0, (child:finish()))
  end)

  it("works in a coroutine", function()
    local co = coroutine.create(function()
      return is_late(skf(spin):timeout(LIMIT)).timeout
    end)
    local ok, seconds = coroutine.resume(co)
    assert.same({ true, LIMIT }, { ok, seconds })
    assert.is_nil((debug.gethook()))
  end)

  if helper.lua ~= "lua5.1" then
    it("hits nobody while its function has yielded", function()
      local was = jit and jit.status()
      local f = skf(function()
        coroutine.yield "away"
        return "back"
      end):timeout(LIMIT)
      local co = coroutine.create(function() return f() end)
      assert.same({ true, "away" }, { coroutine.resume(co) })
      local begun, n = core.now(), 0
      while core.now() - begun < 3 * LIMIT do n = n + 1 end
      assert.is_true(n > 0)
      if jit then assert.equal(was, jit.status()) end
      local ok, err = coroutine.resume(co)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "FunctionTimeoutError"), tostring(err))
      assert.is_nil((debug.gethook()))
    end)
  end
end)

describe("timeout, isolated,", function()
  after_each(helper.nothing_left)

  local ISOLATED = { isolate = true }

  it("gives results and changes nothing here", function()
    local n = 0
    local f = skf(function(a) n = n + 1 return a, nil, sk.getpid() end)
    local a, nothing, pid = f:timeout(PATIENCE, ISOLATED)(7)
    assert.same({ 7, 0 }, { a, n })
    assert.is_nil(nothing)
    assert.are_not.equal(sk.getpid(), pid)
  end)

  it("ends a loop, a C function and a process that is stopped", function()
    is_late(skf(spin):timeout(LIMIT, ISOLATED))
    is_late(skf(function() core.wait({}, {}, "eager", 60) end)
              :timeout(LIMIT, ISOLATED))
    is_late(skf(function() os.execute("kill -19 " .. sk.getpid()) end)
              :timeout(2 * LIMIT, ISOLATED))
  end)

  it("raises what the function raised, with where it was", function()
    local thrown = { code = 3 }
    local ok, err = pcall(skf(function() error(thrown) end)
                            :timeout(PATIENCE, ISOLATED))
    assert.is_false(ok)
    assert.is_true(sk.is(err, "TaskError"))
    assert.same(thrown, err.original_error)
    assert.matches("stack traceback", err.traceback)
  end)

  it("survives the process's death, which can be tried again", function()
    local n = sk.Counter()
    local f = skf(function()
      if n:increment() < 3 then os.exit(9) end
      return "alive"
    end):timeout(PATIENCE, ISOLATED)
    assert.equal("alive", f:retry { times = 3, delay = 0 }())
    n:set(0)
    local ok, err = pcall(f)
    assert.is_false(ok)
    assert.is_true(sk.is(err, "WorkerDiedError"))
    assert.equal(9, err.exit_code)
  end)

  it("shows the predicate what the function raised", function()
    local seen
    local f = skf(function() error("far", 0) end)
    pcall(f:timeout(PATIENCE, ISOLATED):retry { times = 2, delay = 0,
      only = function(err) seen = err return true end })
    assert.equal("far", seen)
  end)

  it("works in the background too", function()
    local f = skf(spin):timeout(LIMIT, ISOLATED):background()
    local future = f()
    local ok, err = pcall(future.result, future, PATIENCE)
    assert.is_false(ok)
    assert.is_true(sk.is(err.original_error, "FunctionTimeoutError"),
                   tostring(err))
  end)
end)
