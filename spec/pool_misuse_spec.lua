-- What Pool promises to those who use it in ways that nobody meant: in the
-- midst of its own work, with strange items, with strange errors.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local has_jit = rawget(_G, "jit") ~= nil
local yields_anywhere = has_jit or _VERSION ~= "Lua 5.1"

local function numbers(n)
  local t = {}
  for i = 1, n do t[i] = i end
  return t
end

local function same(x) return x end

local function counter_to(n)
  local i = 0
  return function()
    i = i + 1
    if i <= n then return i end
  end
end

local function refused(class, pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(sk.is(err, class), tostring(err))
  assert.matches(pattern, tostring(err))
  return err
end

-- A class that workers know too, whose hooks the test sets. Its objects are
-- made again in another process with what __serialize returned.
local Hooked = {}
Hooked.__index = Hooked
package.loaded["spec.pool_hooked"] = { Hooked = Hooked }

local function hooked(fields) return setmetatable(fields or {}, Hooked) end
local function make_hooked()
  return setmetatable({}, require "spec.pool_hooked".Hooked)
end

describe("Pool, misused,", function()
  local pool

  local function open(options)
    pool = sk.Pool(options or { workers = 2 })
    return pool
  end

  local function still_works()
    local results = pool:map(same, numbers(50))
    assert.equal(50, results.n)
    assert.equal(50, results[50])
  end

  before_each(function()
    function Hooked.__serialize(self) return { kept = self.kept } end
    function Hooked.__deserialize(state) return setmetatable(state, Hooked) end
  end)

  after_each(function()
    if pool then pool:terminate() end
    pool = nil
    helper.nothing_left()
  end)

  describe("with a dot for the colon", function()
    it("names the mistake at the caller's line", function()
      open()
      for _, method in ipairs { "map", "unordered_map", "imap", "star",
                                "unordered_imap", "progress", "timeout",
                                "close", "terminate" } do
        for _, self in ipairs { same, 5, "x", false, {} } do
          local err = refused("ArgumentError", "Pool:" .. method
            .. ": self must be a Pool %(call it with a colon%), got",
            function() pool[method](self, {}) end)
          assert.matches("^[^\n]*pool_misuse_spec.lua:%d+: ", tostring(err))
        end
      end
    end)
  end)

  describe("with strange items", function()
    it("refuses a length that is none, and names it", function()
      open()
      for _, n in ipairs { -1, 1.5, 2^31, 1e300, 1 / 0, 0 / 0 } do
        refused("ArgumentError", "the length of items must be .* got %-?[%dni]",
                pool.map, pool, same, { 1, n = n })
      end
      assert.equal(1, pool:map(same, { 1, n = "a field" }).n)
    end)

    it("reads arrays that are made by their metatables", function()
      local tens = setmetatable({}, {
        __len = function() return 3 end,
        __index = function(_, i) return i * 10 end,
      })
      assert.same({ 10, 20, 30, n = 3 }, open():map(same, tens))
    end)

    it("passes errors of such metatables on and works on", function()
      open()
      local broken = setmetatable({}, { __len = function() error "odd" end })
      assert.matches("odd", select(2, pcall(pool.map, pool, same, broken)))
      broken = setmetatable({}, {
        __len = function() return 2 end,
        __index = function() error "no such item" end,
      })
      assert.matches("no such item",
                     select(2, pcall(pool.map, pool, same, broken)))
      still_works()
    end)

    it("takes anything that can be called as an iterator", function()
      local next_item = counter_to(3)
      local cursor = setmetatable({}, { __call = function()
        return next_item()
      end })
      assert.same({ 1, 2, 3, n = 3 }, open():map(same, cursor))
    end)

    it("keeps to the length that an array had when the loop began", function()
      local items, n = numbers(400), 0
      for _ in open{ workers = 2, chunk = 1 }:imap(same, items) do
        n = n + 1
        for i = 200, 500 do items[i] = i < 300 and i or nil end
      end
      assert.equal(400, n)
    end)

    it("reads ahead a bounded distance whatever the chunk", function()
      local pulled = 0
      local next_value = open{ workers = 2, chunk = 1e18 }:imap(same,
      function()
        pulled = pulled + 1
        return pulled
      end)
      assert.equal(1, (next_value()))
      assert.is_true(pulled <= 10000)
    end)

    it("refuses to unpack an item of a length that is none", function()
      open()
      for _, n in ipairs { -1, -5, 1e9, 1 / 0, 0 / 0 } do
        refused("TaskError", "star: item has .* elements", function()
          pool:star():map(same, { { 1, n = n } })
        end)
      end
      still_works()
    end)
  end)

  describe("from its own iterator of items", function()
    it("may be closed or terminated", function()
      for _, how in ipairs { "close", "terminate" } do
        for _, verb in ipairs { "map", "unordered_map" } do
          open()
          local next_item = counter_to(9)
          refused("ClosedError", "the pool was", pool[verb], pool, same,
          function()
            local item = next_item()
            if item == 5 then pool[how](pool) end
            return item
          end)
        end
      end
    end)

    it("is used although its workers are replaced meanwhile", function()
      open{ workers = 2, on_error = "collect" }
      local next_item = counter_to(6)
      local results = pool:map(same, function()
        pool:map(function() os.exit(1) end, numbers(4))
        return next_item()
      end)
      assert.same({ 1, 2, 3, 4, 5, 6, n = 6 }, results)
    end)

    it("cannot give the iterator its own results", function()
      open()
      local next_value
      next_value = pool:imap(same, function()
        return next_value and next_value() or 1
      end)
      refused("Error", "items are being read just now", function()
        for _ = 1, 100 do next_value() end
      end)
      still_works()
    end)

    if yields_anywhere then
      it("lets the iterator yield, and others use it meanwhile", function()
        open()
        local next_item = counter_to(3)
        local call = coroutine.wrap(function()
          return pool:map(same, function()
            coroutine.yield "waiting"
            return next_item()
          end)
        end)
        local got = call()
        while got == "waiting" do
          still_works()
          got = call()
        end
        assert.same({ 1, 2, 3, n = 3 }, got)
      end)
    end
  end)

  describe("from a progress function", function()
    it("may be used, closed and terminated", function()
      open()
      assert.equal(100, pool:progress(still_works):map(same, numbers(100)).n)
      for _, how in ipairs { "close", "terminate" } do
        open()
        refused("ClosedError", "the pool was", function()
          pool:progress(function() pool[how](pool) end)
              :map(same, numbers(1000))
        end)
      end
    end)

    it("passes its error on and drops the call", function()
      local calls = sk.Counter(0)
      open{ workers = 1, chunk = 1 }
      local ok, err = pcall(function()
        pool:progress(function(done)
          if done > 0 then error("enough", 0) end
        end):map(function() calls:increment() end, numbers(1000))
      end)
      assert.is_false(ok)
      assert.equal("enough", err)
      still_works()
      assert.is_true(calls.value < 1000)
    end)

    if yields_anywhere then
      it("may yield", function()
        open()
        local call = coroutine.wrap(function()
          return pool:progress(function() coroutine.yield "waiting" end)
                     :map(same, numbers(20))
        end)
        local got = call()
        while got == "waiting" do
          still_works()
          got = call()
        end
        assert.equal(20, got.n)
      end)
    end
  end)

  describe("from serialization hooks", function()
    local USES = {
      function() pool:map(same, { 1 }) end,
      function() pool:imap(same, { 1 }) end,
      function() pool:close() end,
      function() pool:terminate() end,
    }

    -- Every use must be refused, and harm nothing.
    local function attempt()
      for _, use in ipairs(USES) do
        refused("Error", "busy with the value whose serialization hook", use)
      end
    end

    it("of its items refuses, and the call goes on", function()
      open()
      function Hooked.__serialize()
        attempt()
        return { kept = true }
      end
      local items = { hooked(), 2, hooked(), ("x"):rep(1e5), hooked() }
      local results = pool:map(function(x) return x end, items)
      Hooked.__serialize = nil
      assert.equal(5, results.n)
      assert.equal(2, results[2])
      assert.is_true(results[5].kept)
      still_works()
    end)

    it("of its results refuses, and the call goes on", function()
      local owner = core.getpid()
      function Hooked.__deserialize(state)
        if core.getpid() == owner then attempt() end
        state.is_back = true
        return state
      end
      open()
      local results = pool:map(make_hooked, numbers(10))
      for i = 1, 10 do assert.is_true(results[i].is_back) end
      still_works()
    end)

    it("of the function may be used, and closed", function()
      open()
      local held = hooked()
      function Hooked.__serialize()
        still_works()
        return {}
      end
      local function use() return held ~= nil end
      assert.same({ true, n = 1 }, pool:map(use, { 1 }))
      function Hooked.__serialize()
        pool:close()
        return {}
      end
      refused("ClosedError", "the pool is closed", pool.map, pool, use, { 1 })
    end)
  end)

  describe("with strange errors", function()
    local function error_of(fn)
      local err = refused("TaskError", "item 1", pool.map, pool, fn, { 1 })
      return err.original_error
    end

    it("keeps nil, false and tables with a __tostring that raises", function()
      open()
      assert.is_nil(error_of(function() error(nil) end))
      assert.is_false(error_of(function() error(false) end))
      local odd = error_of(function()
        error(setmetatable({ a = 1 }, {
          __tostring = function() error "no text" end,
        }))
      end)
      assert.equal(1, odd.a)
    end)

    it("reports a stack overflow", function()
      open()
      assert.matches("stack overflow", error_of(function()
        local function deeper() return 1 + deeper() end
        return deeper()
      end))
      still_works()
    end)

    it("reports although the function took the globals away", function()
      open()
      assert.matches("gone", error_of(function()
        local fail = error
        for _, name in ipairs { "debug", "pcall", "tostring", "type" } do
          rawset(_G, name, nil)
        end
        fail "gone"
      end))
    end)

    it("gives a text for an error that can be sent only once", function()
      function Hooked.__serialize() error "never" end
      open()
      assert.matches("^table", error_of(function()
        error(setmetatable({}, require "spec.pool_hooked".Hooked))
      end))
      still_works()
    end)

    it("reports an error, or a result, that cannot be rebuilt", function()
      local owner = core.getpid()
      function Hooked.__deserialize(state)
        if core.getpid() == owner then error "lost in translation" end
        return state
      end
      open()
      local err = error_of(function()
        error(setmetatable({}, require "spec.pool_hooked".Hooked))
      end)
      assert.matches("lost in translation", tostring(err))
      err = error_of(make_hooked)
      assert.matches("lost in translation", tostring(err))
      still_works()
    end)

    it("reports a function that yields", function()
      open()
      assert.matches("yield", error_of(function() coroutine.yield(1) end))
      still_works()
    end)
  end)

  -- Call fn and raise an error after so many instructions of it, as an
  -- interpreter's Ctrl-C does; -> false when fn ended before.
  local function interrupted(after, fn)
    local came
    local ok, err = pcall(function()
      debug.sethook(function()
        debug.sethook()
        came = debug.traceback()
        error("interrupted!", 0)
      end, "", after)
      fn()
      debug.sethook()
    end)
    if not came then return false end
    -- cerial tries some things that it may do without
    assert(not ok or came:find "/cerial/", came)
    if not ok then assert.matches("interrupted!", tostring(err)) end
    return true
  end

  it("works on wherever an error like that of Ctrl-C hit it", function()
    open{ workers = 2, chunk = 2 }
    local after, times = 1, 0
    while after < 4000 do
      if interrupted(after, function() pool:map(same, numbers(30)) end) then
        times = times + 1
      end
      still_works()
      after = after + 1 + math.floor(after / 40)
    end
    assert.is_true(times > 50)
  end)

  it("closes wherever such an error hit it", function()
    for after = 100, 4000, 300 do
      open()
      interrupted(after, function()
        for _ = 1, 10 do pool:map(same, numbers(30)) end
      end)
      pool:close()
      helper.nothing_left()
    end
  end)

  it("ends other loops when such an error came in the midst of its work",
  function()
    open()
    local loop = pool:imap(same, numbers(1000))
    pool.is_unsettled = true
    still_works()
    refused("Error", "has begun anew", function()
      while loop() do end -- after what had come back before
    end)
  end)

  it("forgets loops that were left early", function()
    local items = sk.Counter(0)
    open{ workers = 1, chunk = 1 }
    pool:imap(function() items:increment() end, numbers(1000))()
    collectgarbage()
    collectgarbage()
    still_works()
    assert.equal(0, #pool.jobs)
    assert.is_true(items.value < 1000)
  end)
end)
