-- What the detector promises: exact answers for ordinary methods, and never a
-- write left out.

local bytecode = require "suitkaise.detect.bytecode"
local detect = require "suitkaise.detect"
local fuzz = require "spec.detect_fuzz"
local helper = require "spec.helper"
local sk = require "suitkaise"

local has_bytecode = helper.lua == "luajit"

local function words(set)
  if set == "all" then return "all" end
  local names = {}
  for name in pairs(set) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return table.concat(names, " ")
end

-- The answer as text: "reads: a b, writes: a, returns: false"; without
-- bytecode all of it is the safe one.
local function check(class, name, reads, writes, returns)
  local found = detect.method(class, name)
  if not has_bytecode then reads, writes, returns = "all", "all", nil end
  assert.equal(reads .. " -> " .. writes,
               words(found.reads) .. " -> " .. words(found.writes))
  if returns ~= "any" then assert.equal(returns, found.returns) end
end

-- A class with one method.
local function class_of(fn)
  local class = { method = fn }
  class.__index = class
  return class
end

local function check_one(fn, reads, writes, returns)
  if returns == nil then returns = "any" end
  check(class_of(fn), "method", reads, writes, returns)
end

-- A function that nobody can look into.
local opaque = coroutine.wrap(function() end)

local function refused(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(sk.is(err, "ArgumentError"), tostring(err))
  assert.matches(pattern, tostring(err))
end

describe("detect", function()
  after_each(helper.nothing_left)

  it("has bytecode to look at on LuaJIT, and on no other VM", function()
    assert.equal(has_bytecode, detect.is_available)
    assert.equal(has_bytecode, bytecode.of(words) ~= nil)
    assert.is_nil(bytecode.of(print))
  end)
end)

describe("detect.method: writes", function()
  it("a field that is assigned", function()
    check_one(function(self, x) self.last = x end, "", "last", false)
  end)

  it("a field that is assigned from itself", function()
    check_one(function(self, x) self.total = self.total + x end,
              "total", "total", false)
  end)

  it("a field with a number for its name", function()
    local found = detect.method(class_of(function(self) self[1] = 2 end),
                                "method")
    if has_bytecode then assert.same({ [1] = true }, found.writes)
    else assert.equal("all", found.writes) end
  end)

  it("a field whose name is in a variable that is known", function()
    local name = "last"
    check_one(function(self, x) self[name] = x end, "", "last")
  end)

  it("both fields that a name may be", function()
    check_one(function(self, x)
      local name = "high"
      if x < 0 then name = "low" end
      self[name] = x
    end, "", "high low")
  end)

  it("a table in a field that gets an entry", function()
    check_one(function(self, x) self.log[#self.log + 1] = x end,
              "log", "log", false)
  end)

  it("a table in a field, deep down", function()
    check_one(function(self, x) self.config.video.size.x = x end,
              "config", "config")
  end)

  it("a table in a field through a local", function()
    check_one(function(self) local log = self.log; log.n = 1 end,
              "log", "log", false)
  end)

  it("a table in a field that one of two locals may be", function()
    check_one(function(self, flag)
      local t = flag and self.a or self.b
      t.x = 1
    end, "a b", "a b")
  end)

  it("a table in a field by table.insert, remove and sort", function()
    check_one(function(self, x) table.insert(self.log, x) end, "log", "log",
              false)
    check_one(function(self) return table.remove(self.log) end, "log", "log")
    check_one(function(self)
      table.sort(self.log, function(a, b) return a.n < b.n end)
    end, "log", "log")
  end)

  it("a table in a field by rawset", function()
    check_one(function(self, x) rawset(self.log, 1, x) end, "log", "log")
    check_one(function(self, x) rawset(self, "last", x) end, "", "last")
  end)

  it("what a loop over a field changes", function()
    check_one(function(self)
      for _, item in ipairs(self.items) do item.seen = true end
    end, "items", "items", false)
    check_one(function(self)
      for k in pairs(self.items) do self.items[k] = nil end
    end, "items", "items")
  end)

  it("a field's table inside a new table", function()
    check_one(function(self)
      local box = { inside = self.items }
      local function get() return box end
      get().inside.n = 1
    end, "items", "items")
  end)

  it("a new table that hangs on self already", function()
    check_one(function(self)
      local t = {}
      self.log = t
      t[1] = 1
    end, "", "log")
  end)

  it("a field through a closure that is called", function()
    check_one(function(self, x)
      local function add(n) self.total = self.total + n end
      for _ = 1, 3 do add(x) end
    end, "total", "total", false)
  end)

  it("a field through a closure that is given to something unknown", function()
    check_one(function(self) opaque(function() self.done = true end) end,
              "", "done")
  end)

  it("a field through pcall, xpcall and string.gsub", function()
    check_one(function(self) pcall(function() self.a = 1 end) end, "", "a")
    check_one(function(self)
      xpcall(function() self.a = 1 end, function() self.b = 2 end)
    end, "", "a b")
    check_one(function(self, text)
      text = text .. ""
      string.gsub(text, "%w", function() self.words = self.words + 1 end)
    end, "words", "words")
  end)

  it("a local that a closure filled from a field", function()
    check_one(function(self)
      local t
      local function take() t = self.items end
      take()
      t.n = 1
    end, "items", "items")
  end)

  it("a field's table that an unknown function is given", function()
    check_one(function(self) opaque(self.items) end, "items", "items")
    check_one(function(self, other) other:take(self.items) end,
              "items", "items")
  end)

  it("an object in a field whose method is called", function()
    check_one(function(self) self.timer:start() end, "timer", "timer", false)
    check_one(function(self, x) self.timer:add(x or 1) end, "timer", "timer")
  end)

  it("the result of an unknown function as what it was given", function()
    check_one(function(self)
      local t = opaque(self.items)
      t.x = 1
    end, "items", "items")
  end)

  it("what a coroutine hands out of a field", function()
    check_one(function(self)
      local step = coroutine.wrap(function()
        for _, item in ipairs(self.items) do coroutine.yield(item) end
      end)
      step().n = 1
    end, "items", "items")
  end)

  it("both fields that may hold one table", function()
    check_one(function(self) self.old = self.current end, "current",
              "current old")
  end)

  it("a field that another method made the same table", function()
    local class = {}
    class.__index = class
    function class:keep() self.backup = self.items end
    function class:add(x) self.items[#self.items + 1] = x end
    check(class, "add", "items", "backup items", false)
  end)

  it("a field that the constructor made the same table", function()
    local class = {}
    class.__index = class
    function class.new()
      local list = {}
      return setmetatable({ items = list, view = list, n = 0 }, class)
    end
    function class:add(x) self.items[#self.items + 1] = x end
    function class:count() self.n = self.n + 1 end
    check(class, "add", "items", "items view", false)
    check(class, "count", "n", "n", false)
  end)

  it("fields whose table a variable of the module holds too", function()
    local shared = { n = 0 }
    local class = {}
    class.__index = class
    function class:init() self.state = shared end
    function class.change() shared.n = shared.n + 1 end
    check(class, "change", "state", "state", false)
  end)

  it("all when a field's table leads back to self", function()
    local class = {}
    class.__index = class
    function class:adopt() self.child.parent = self end
    function class:tell() self.child.parent.n = 1 end
    check(class, "tell", "child parent", "all", "any")
  end)
end)

describe("detect.method: all, for", function()
  local function loses(fn)
    local found = detect.method(class_of(fn), "method")
    assert.equal("all", found.writes)
  end

  local kept

  it("a name that is not known", function()
    loses(function(self, k, v) self[k] = v end)
  end)

  it("self given to something unknown", function()
    loses(function(self) opaque(self) end)
    loses(function(self, other) other.owner(1, self) end)
    loses(function(self, ...) opaque(..., self) end)
  end)

  it("self in a variable or table of others", function()
    loses(function(self) kept = self end)
    loses(function(self, list) list[1] = self end)
    loses(function(self) _G.detect_spec_self = self end)
    assert.is_nil(kept)
  end)

  it("self returned, alone, in a table or in a closure", function()
    loses(function(self) return self end)
    loses(function(self) return { self } end)
    loses(function(self) return function() return self end end)
  end)

  it("self raised", function()
    loses(function(self) error(self) end)
  end)

  it("self passed on in a vararg", function()
    loses(function(...) opaque(...) end)
  end)

  it("a closure that captures self and goes away", function()
    loses(function(self)
      local function get() return self end
      opaque(get)
    end)
  end)

  it("a function that hangs on self", function()
    loses(function(self, x) self.callback(x) end)
    loses(function(self) self.callbacks.done() end)
  end)

  it("any table of a loop over self", function()
    loses(function(self)
      for _, value in pairs(self) do value.n = 1 end
    end)
    loses(function(self) for k in next, self do self[k] = nil end end)
  end)

  it("another metatable", function()
    loses(function(self) setmetatable(self, {}) end)
  end)

  it("a method that nobody has", function()
    loses(function(self) self:nowhere() end)
  end)

  it("a __newindex that does what is not known", function()
    local class = class_of(function(self) self.x = 1 end)
    class.__newindex = opaque
    assert.equal("all", detect.method(class, "method").writes)
  end)

  it("a C function", function()
    local found = detect.method(nil, "insert", table.insert)
    assert.same({ "all", "all" }, { found.reads, found.writes })
    assert.is_nil(found.returns)
  end)
end)

describe("detect.method: classes", function()
  local Base = sk.class "DetectBase"
  function Base:init(n) self.n, self.items = n, {} end
  function Base:add(x) self.items[#self.items + 1] = x end
  function Base:bump() self.n = self.n + 1 end
  function Base:both(x) self:add(x) self:bump() end

  it("follow calls of self's methods", function()
    check(Base, "both", "items n", "items n", false)
  end)

  it("follow inherited methods", function()
    local Child = sk.class("DetectChild", Base)
    function Child:more(x) self:both(x) self.extra = true end
    check(Child, "more", "items n", "extra items n", false)
    check(Child, "both", "items n", "items n", false)
  end)

  it("follow the methods that a child has instead", function()
    local Child = sk.class("DetectOther", Base)
    function Child:bump() self.bumps = 1 end
    check(Child, "both", "items", "bumps items", false)
    check(Base, "both", "items n", "items n", false)
  end)

  it("follow calls through the class", function()
    local Child = sk.class("DetectSuper", Base)
    function Child:add(x) Base.add(self, x) self.count = self.count + 1 end
    check(Child, "add", "count items", "count items", false)
  end)

  it("follow methods that call each other for ever", function()
    local class = {}
    class.__index = class
    function class:even(n) self.a = n if n > 0 then self:odd(n - 1) end end
    function class:odd(n) self.b = n if n > 0 then self:even(n - 1) end end
    check(class, "even", "", "a b", false)
  end)

  it("follow helpers of the module", function()
    local function clamp(x) return math.max(0, math.min(x, 100)) end
    local function push(list, x) list[#list + 1] = x end
    local class = {}
    class.__index = class
    function class:set(x)
      self.level = clamp(x)
      push(self.log, self.level)
    end
    check(class, "set", "level log", "level log", false)
  end)

  it("follow a method's metamethods", function()
    local class = {}
    class.__index = class
    function class:__tostring() self.shown = true return self.name end
    function class:text() return tostring(self) .. "!" end
    check(class, "text", "name", "shown", true)
  end)

  it("follow an __index function for fields", function()
    local class = { show = function(self) return self.mean end }
    function class.__index(self, key)
      if key == "mean" then return self.total / self.n end
      return class[key]
    end
    local found = detect.method(class, "show", class.show)
    assert.equal(has_bytecode and "" or "all", words(found.writes))
    if has_bytecode then assert.is_true(found.reads.total) end
  end)

  it("take a field that the class has as written by both", function()
    local class = { defaults = { n = 1 } }
    class.__index = class
    function class:change() self.defaults.n = 2 end
    function class.static() class.count = 1 end
    check(class, "change", "defaults", "defaults", false)
    assert.equal(has_bytecode and "count" or "all",
                 words(detect.method(class, "static").writes))
  end)

  it("look again when a method is replaced", function()
    local class = {}
    class.__index = class
    function class:outer() self:inner() end
    function class:inner() self.a = 1 end
    check(class, "outer", "", "a", false)
    function class:inner() self.b = 1 end
    check(class, "outer", "", "b", false)
  end)

  it("look again when an upvalue or a global is replaced", function()
    local step = function(self) self.a = 1 end
    local class = {}
    class.__index = class
    function class:outer() step(self) end
    check(class, "outer", "", "a", false)
    step = function(self) self.b = 1 end
    check(class, "outer", "", "b", false)
  end)

  it("look again when a method is added that links fields", function()
    local class = {}
    class.__index = class
    function class:add(x) self.items.last = x end
    check(class, "add", "items", "items", false)
    function class:keep() self.backup = self.items end
    check(class, "add", "items", "backup items", false)
  end)

  it("give the same answer object while nothing changes", function()
    assert.equal(detect.method(Base, "both"), detect.method(Base, "both"))
  end)

  it("are not kept alive", function()
    local weak = setmetatable({}, { __mode = "k" })
    do
      local class = class_of(function(self) self.x = self.y end)
      weak[class], weak[class.method] = true, true
      detect.method(class, "method")
      detect.fn(class.method)
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)

describe("detect.method: returns", function()
  local function returns(fn, expected)
    local found = detect.method(class_of(fn), "method")
    if not has_bytecode then expected = nil end
    assert.equal(expected, found.returns)
  end

  it("false when there is nothing to return", function()
    returns(function(self) self.x = 1 end, false)
    returns(function(self) if self.x then return end self.x = 1 end, false)
  end)

  it("true for one value, several and a vararg", function()
    returns(function() return 1 end, true)
    returns(function() return nil end, true)
    returns(function() return 1, 2 end, true)
    returns(function(_, ...) return ... end, true)
  end)

  it("not known for a tail call", function()
    returns(function() return opaque() end, nil)
  end)
end)

-- ---- ordinary code stays exact ----

local Stats = {}
Stats.__index = Stats

function Stats.new(limit, options)
  return setmetatable({
    samples = {}, total = 0, n = 0, limit = limit or 10, tags = {},
    name = options and options.name, position = { x = 0, y = 0 },
    queue = { first = 1, last = 0 }, history = {}, timers = {},
  }, Stats)
end

function Stats:record(x)
  self.samples[#self.samples + 1] = x
  self.total = self.total + x
  self.n = self.n + 1
end

function Stats:record_all(...)
  for i = 1, select("#", ...) do self:record((select(i, ...))) end
end

function Stats:mean()
  if self.n == 0 then return nil end
  return self.total / self.n
end

function Stats:variance()
  local mean, sum = self:mean(), 0
  for _, x in ipairs(self.samples) do sum = sum + (x - mean) ^ 2 end
  return sum / (self.n - 1)
end

function Stats:trim()
  while #self.samples > self.limit do
    self.total = self.total - table.remove(self.samples, 1)
    self.n = self.n - 1
  end
end

function Stats:reset()
  self.samples, self.total, self.n = {}, 0, 0
end

function Stats:worst()
  local worst = -math.huge
  for i = 1, #self.samples do worst = math.max(worst, self.samples[i]) end
  return worst
end

function Stats:percentile(p)
  local sorted = {}
  for i, x in ipairs(self.samples) do sorted[i] = x end
  table.sort(sorted)
  return sorted[math.ceil(p / 100 * #sorted)]
end

function Stats:tag(key, value)
  if type(key) ~= "string" then error("key must be a string", 2) end
  self.tags[key] = value
end

function Stats:tag_list()
  local list = {}
  for key, value in pairs(self.tags) do
    list[#list + 1] = key .. "=" .. tostring(value)
  end
  table.sort(list)
  return table.concat(list, ",")
end

function Stats:move(dx, dy)
  local p = self.position
  p.x, p.y = p.x + dx, p.y + dy
end

function Stats:distance(other)
  local dx = self.position.x - other.position.x
  local dy = self.position.y - other.position.y
  return math.sqrt(dx * dx + dy * dy)
end

function Stats:push(v)
  local queue = self.queue
  queue.last = queue.last + 1
  queue[queue.last] = v
end

function Stats:pop()
  local queue = self.queue
  if queue.first > queue.last then return nil end
  local v = queue[queue.first]
  queue[queue.first] = nil
  queue.first = queue.first + 1
  return v
end

function Stats:set_limit(limit)
  assert(type(limit) == "number" and limit > 0, "limit must be positive")
  self.limit = limit
  self:trim()
end

function Stats:describe()
  return string.format("%s: %d of %d", self.name or "stats", self.n,
                       self.limit)
end

function Stats:snapshot()
  self.history[#self.history + 1] = { n = self.n, mean = self:mean() }
end

function Stats:start(name)
  self.timers[name] = { started = os.clock(), laps = {} }
end

function Stats:lap(name)
  local timer = self.timers[name]
  if not timer then return false end
  table.insert(timer.laps, os.clock() - timer.started)
  return true
end

function Stats:each(fn)
  for i, x in ipairs(self.samples) do fn(i, x) end
end

function Stats:map(fn)
  local result = {}
  for i, x in ipairs(self.samples) do result[i] = fn(x) end
  return result
end

function Stats:try(x)
  local ok = pcall(self.record, self, tonumber(x))
  if not ok then self.failures = (self.failures or 0) + 1 end
  return ok
end

-- name; reads; writes; returns
local ORDINARY = {
  { "record", "n samples total", "n samples total", false },
  { "record_all", "n samples total", "n samples total", false },
  { "mean", "n total", "", true },
  { "variance", "n samples total", "", true },
  { "trim", "limit n samples total", "n samples total", false },
  { "reset", "", "n samples total", false },
  { "worst", "samples", "", true },
  { "percentile", "samples", "", true },
  { "tag", "tags", "tags", false },
  { "tag_list", "tags", "", "any" },
  { "move", "position", "position", false },
  { "distance", "position", "", "any" },
  { "push", "queue", "queue", false },
  { "pop", "queue", "queue", true },
  { "set_limit", "limit n samples total", "limit n samples total", false },
  { "describe", "limit n name", "", "any" },
  { "snapshot", "history n total", "history", false },
  { "start", "timers", "timers", false },
  { "lap", "timers", "timers", true },
  -- What fn does with an item of samples is not known.
  { "each", "samples", "samples", false },
  { "map", "samples", "samples", true },
  { "try", "failures n samples total", "failures n samples total", true },
}

describe("detect.method, for ordinary code, is exact:", function()
  for _, case in ipairs(ORDINARY) do
    it(case[1], function()
      check(Stats, case[1], case[2], case[3], case[4])
    end)
  end

  it("also after it was compiled", function()
    local stats = Stats.new(50)
    for i = 1, 300 do
      stats:record(i)
      stats:worst()
      stats:push(i)
      stats:tag_list()
    end
    local class = {}
    for name, fn in pairs(Stats) do class[name] = fn end
    class.__index = class
    for _, case in ipairs(ORDINARY) do
      check(class, case[1], case[2], case[3], case[4])
    end
  end)

  it("also with the compiler off", function()
    if not has_bytecode then
      return check(Stats, "record", "all", "all", nil)
    end
    local output = helper.run([[
      local detect = require "suitkaise.detect"
      local class = {}
      class.__index = class
      function class:add(x)
        for i = 1, 200 do self.log[i] = x end
        while self.n > 0 do self.n = self.n - 1 end
      end
      class.add({ log = {}, n = 300 }, 1)
      local found = detect.method(class, "add")
      print(found.writes.log, found.writes.n, found.writes.x, jit.status())
    ]], "-joff")
    assert.matches("^true\ttrue\tnil\tfalse", output)
  end)
end)

-- ---- what is declared ----

describe("_shared_meta", function()
  local function declared(meta, fn)
    local class = class_of(fn or function(self) self.x = self.y end)
    class._shared_meta = meta
    return class
  end

  it("wins over what is found", function()
    local class = declared { methods = { method = {
      reads = { "a" }, writes = { "b", "c" }, returns = true,
    } } }
    local found = detect.method(class, "method")
    assert.same({ a = true }, found.reads)
    assert.same({ b = true, c = true }, found.writes)
    assert.is_true(found.returns)
  end)

  it("leaves the rest to be found", function()
    local class = declared { methods = { method = { returns = true } } }
    local found = detect.method(class, "method")
    assert.equal(has_bytecode and "x y" or "all", words(found.writes))
    assert.is_true(found.returns)
  end)

  it("may say all, and nothing", function()
    local class = declared { methods = { method = {
      reads = "all", writes = {}, returns = false,
    } } }
    local found = detect.method(class, "method")
    assert.equal("all", found.reads)
    assert.same({}, found.writes)
    assert.is_false(found.returns)
  end)

  it("is inherited", function()
    local class = declared { methods = { method = { writes = { "z" } } } }
    local child = setmetatable({}, { __index = class })
    child.__index = child
    assert.same({ z = true }, detect.method(child, "method").writes)
  end)

  it("is looked at again when it is replaced", function()
    local class = declared { methods = { method = { writes = { "z" } } } }
    assert.same({ z = true }, detect.method(class, "method").writes)
    class._shared_meta = { methods = { method = { writes = { "w" } } } }
    assert.same({ w = true }, detect.method(class, "method").writes)
  end)

  it("tells what properties read", function()
    local class = declared { properties = { mean = { reads = { "n" } } } }
    assert.same({ n = true }, detect.declared(class).properties.mean.reads)
  end)

  it("that is wrong is refused, and what is wrong is named", function()
    local function check_refused(meta, pattern)
      refused(pattern, detect.method, declared(meta), "method")
    end
    check_refused(7, "must be a table, got 7")
    check_refused({ method = {} }, 'unknown option "method".*"methods"')
    check_refused({ methods = { method = true } },
                  "methods.method must be a table, got true")
    check_refused({ methods = { method = { write = {} } } },
                  'unknown option "write"; did you mean "writes"')
    check_refused({ methods = { method = { writes = "x" } } },
                  'writes must be a table or "all", got "x"')
    check_refused({ methods = { method = { writes = { true } } } },
                  "writes must be an array of names of fields, got true")
    check_refused({ methods = { method = { writes = { x = true } } } },
                  "array of names of fields")
    check_refused({ methods = { method = { returns = 1 } } },
                  "returns must be true or false, got 1")
    check_refused({ properties = { mean = { writes = {} } } },
                  'unknown option "writes"')
  end)

  it("needs a class and a function", function()
    refused("class must be a class or nil, got 3", detect.method, 3, "x")
    refused("fn must be a function, got nil", detect.method, {}, "x")
  end)
end)

-- ---- against what happens ----

describe("detect.method, for random methods,", function()
  it("never leaves out a field that changed", function()
    local exact = 0
    local programs = has_bytecode and 60 or 20
    for seed = 1, programs do exact = exact + fuzz.try(seed) end
    -- Not by answering "all" every time.
    if has_bytecode then assert.is_true(exact > programs) end
  end)
end)
