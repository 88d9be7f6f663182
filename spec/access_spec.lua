-- Functions on what is shared: on Shares, their tables and objects, tables in
-- objects, Dict and List, and plain tables.
local fixture = require "spec.share_helper"
local sk = require "suitkaise"

local raises = fixture.raises

local Cell = sk.class "Cell"
function Cell:init() self.n, self.list, self.t = 1, { 1, 2 }, { n = 5 } end
function Cell:add(n)
  self.n = self.n + n
  return self.n
end

-- Makes a share with all of it.
local function new()
  local share = fixture.share()
  share.n, share.t, share.cell = 1, { n = 2, list = { 1, 2, 3 } }, Cell()
  share.dict, share.list = { d = 1 }, { "a", "b", "c" }
  local knot = Cell()
  knot.me = knot
  share.knot = knot
  return share
end

-- name -> function(share) that gives a table with a number at "n"
local HOLDERS = {
  ["a Share"] = function(share) return share end,
  ["a table"] = function(share) return share.t end,
  ["an object"] = function(share) return share.cell end,
  ["a table in an object"] = function(share) return share.cell.t end,
  ["an object with cycles"] = function(share) return share.knot end,
  ["a table in an object with cycles"] = function(share)
    return share.knot.t
  end,
  ["a Dict"] = function() return sk.Dict { n = 1 } end,
}

-- name -> function(share) that gives an array
local ARRAYS = {
  ["a table"] = function(share) return share.t.list end,
  ["a table in an object"] = function(share) return share.cell.list end,
  ["a table in an object with cycles"] = function(share)
    return share.knot.list
  end,
  ["a List"] = function() return sk.List { 1, 2 } end,
  ["a plain table"] = function() return { 1, 2 } end,
}

local function first_of(t) return t[1] end

setup(fixture.start_default)

describe("increment", function()
  after_each(fixture.clean_up)

  for name, holder in pairs(HOLDERS) do
    it("adds and tells the new value: in " .. name, function()
      local t = holder(new())
      local n = t.n
      assert.equal(n + 1, sk.increment(t, "n"))
      assert.equal(n + 6, sk.increment(t, "n", 5))
      assert.equal(n + 5.5, sk.increment(t, "n", -0.5))
      assert.equal(n + 5.5, t.n)
    end)

    it("refuses what is no number: in " .. name, function()
      local t = holder(new())
      t.text = "x"
      for key, found in pairs { text = '"x", a string', none = "nil" } do
        local err = raises("ShareError", sk.increment, t, key)
        assert.matches(key .. ": there is no number to add to: it is " .. found
          .. "$", err.message)
      end
      assert.equal("x", t.text)
      assert.is_nil(t.none)
    end)
  end

  it("works on a plain table", function()
    local t = { n = 1 }
    assert.equal(3, sk.increment(t, "n", 2))
    assert.equal(3, t.n)
  end)

  it("says what a value is that is no number", function()
    local share = new()
    share.b, share.c = true, sk.Counter(0)
    local function found(t, key)
      local err = raises("ShareError", function() sk.increment(t, key) end)
      assert.matches("access_spec.lua:%d+$", err.where)
      return err.message:match "it is (.*)$"
    end
    assert.equal("true, a boolean", found(share, "b"))
    assert.equal("Counter", found(share, "c"))
    assert.equal("a table", found(share, "t"))
    assert.equal("an object", found(share, "cell"))
    assert.equal('"x", a string', found({ n = "x" }, "n"))
  end)

  it("keeps whole numbers whole and exact", function()
    local share = fixture.share()
    share.n = 2 ^ 53 - 1
    assert.equal(2 ^ 53, sk.increment(share, "n"))
    share[1] = 1
    assert.equal(2, sk.increment(share, 1))
    share[true] = 1
    assert.equal(2, sk.increment(share, true))
  end)

  it("checks its arguments", function()
    local share = new()
    for _, bad in ipairs { "1", {}, true } do
      local err = raises("ArgumentError", sk.increment, share, "n", bad)
      assert.matches("increment: n must be a number", err.message)
    end
    raises("ArgumentError", sk.increment, share)
    raises("ArgumentError", sk.increment, share, {})
    raises("ArgumentError", sk.increment, share, 0 / 0)
    raises("ArgumentError", sk.increment, 5, "n")
    raises("ArgumentError", sk.increment, nil, "n")
    raises("ArgumentError", sk.increment, sk.Counter(1), "n")
    assert.equal(1, share.n)
  end)
end)

describe("update", function()
  after_each(fixture.clean_up)

  for name, holder in pairs(HOLDERS) do
    it("reads, changes and writes back: in " .. name, function()
      local t = holder(new())
      local n = t.n
      sk.update(t, "n", function(value) return value * 10 end)
      assert.equal(n * 10, t.n)
      sk.update(t, "n", function(value, a, b) return value + a + b end, 1, 2)
      assert.equal(n * 10 + 3, t.n)
      sk.update(t, "fresh", function(value)
        assert(value == nil)
        return { 1 }
      end)
      assert.equal(1, t.fresh[1])
      sk.update(t, "fresh", function(value)
        value[2] = 2
        return value
      end)
      assert.equal(2, t.fresh[2])
      sk.update(t, "fresh", function() return nil end)
      assert.is_nil(t.fresh)
    end)

    it("changes nothing when it raises: in " .. name, function()
      local t = holder(new())
      local n = t.n
      t.list = { 1 }
      local err = raises("ShareCallError", sk.update, t, "list",
                         function(list)
        list[1] = 2
        error("no", 0)
      end)
      assert.equal("no", err.original_error)
      assert.equal(1, t.list[1])
      assert.equal(n, t.n)
    end)
  end

  it("gets an object with its methods", function()
    local share = new()
    sk.update(share, "cell", function(cell)
      cell:add(4)
      return cell
    end)
    assert.equal(5, share.cell.n)
    assert.equal(6, share.cell:add(1))
  end)

  it("carries what the function captured", function()
    local share, factor = new(), 7
    sk.update(share, "n", function(n) return n * factor end)
    assert.equal(7, share.n)
  end)

  it("may put a Counter or an object there", function()
    local share, counter = new(), sk.Counter(3)
    sk.update(share, "n", function() return counter end)
    assert.equal(4, share.n:increment())
    assert.equal(4, counter.value)
    sk.update(share, "n", function() return Cell() end)
    assert.equal(3, share.n:add(2))
  end)

  it("refuses what cannot be shared", function()
    local share = new()
    local err = raises("ShareCallError", sk.update, share, "n", function()
      return coroutine.create(function() end)
    end)
    assert.matches("coroutine", err.message)
    assert.equal(1, share.n)
    raises("SerializationError", sk.update, share, "n", function() end,
           coroutine.create(function() end))
  end)

  it("checks its arguments", function()
    local share = new()
    for _, bad in ipairs { 1, "x", {} } do
      local err = raises("ArgumentError", sk.update, share, "n", bad)
      assert.matches("update: change must be a function", err.message)
    end
    raises("ArgumentError", sk.update, share, nil, print)
    raises("ArgumentError", sk.update, share, {}, print)
    raises("ArgumentError", sk.update, { n = 1 }, "n", first_of)
    raises("ArgumentError", sk.update, nil, "n", first_of)
  end)
end)

describe("call", function()
  after_each(fixture.clean_up)

  it("waits for a method, its results and its errors", function()
    local share = new()
    assert.equal(3, sk.call(share.cell, "add", 2))
    assert.equal(3, sk.call(share.knot, "add", 2))
    local err = raises("ShareCallError", sk.call, share.cell, "add", "x")
    assert.matches("add", err.message)
    assert.equal(3, share.cell.n)
  end)

  it("checks its arguments", function()
    local share = new()
    raises("ArgumentError", sk.call, share.t, "add")
    raises("ArgumentError", sk.call, share, "add")
    raises("ArgumentError", sk.call, {}, "add")
    raises("ArgumentError", sk.call, nil, "add")
    raises("ArgumentError", sk.call, share.cell, 5)
    raises("ArgumentError", sk.call, share.cell)
  end)
end)

describe("wait_for", function()
  after_each(fixture.clean_up)

  for name, holder in pairs(HOLDERS) do
    it("looks into " .. name, function()
      local t = holder(new())
      t.ready = true
      assert.is_true(sk.wait_for(t, "ready", true, 20))
      assert.is_false(sk.wait_for(t, "ready", false, 0))
      assert.is_true(sk.wait_for(t, "n", function(n) return n > 0 end, 20))
    end)
  end

  it("checks its arguments", function()
    local share = new()
    for _, bad in ipairs { -1, "1", {}, 0 / 0 } do
      local err = raises("ArgumentError", sk.wait_for, share, "n", 1, bad)
      assert.matches("wait_for: timeout must be", err.message)
    end
    raises("ArgumentError", sk.wait_for, share, nil, 1)
    raises("ArgumentError", sk.wait_for, {}, "n", 1)
    raises("ArgumentError", sk.wait_for, 1, "n", 1)
  end)
end)

describe("pairs", function()
  after_each(fixture.clean_up)

  it("gives every entry once: tables as proxies", function()
    local share = fixture.share()
    share.a, share[1], share[true], share.t = 1, "one", false, { 5 }
    local seen, n = {}, 0
    for k, v in sk.pairs(share) do
      seen[k], n = v, n + 1
    end
    assert.equal(4, n)
    assert.equal(1, seen.a)
    assert.equal("one", seen[1])
    assert.is_false(seen[true])
    seen.t[1] = 6
    assert.equal(6, share.t[1])
  end)

  it("may be over what is changed meanwhile", function()
    local share = fixture.share()
    share.t = { a = 1, b = 2, c = 3 }
    for k in sk.pairs(share.t) do share.t[k] = nil end
    assert.same({}, sk.snapshot(share.t))
  end)

  it("is over objects, tables in them, Dict, List and plain tables", function()
    local share = new()
    local function collect(t)
      local all = {}
      for k, v in sk.pairs(t) do all[k] = v end
      return all
    end
    assert.equal(1, collect(share.cell).n)
    assert.same({ n = 5 }, collect(share.cell.t))
    assert.same({ 1, 2 }, collect(share.knot.list))
    assert.same({ x = 1 }, collect(sk.Dict { x = 1 }))
    assert.same({ 7, 8 }, collect(sk.List { 7, 8 }))
    assert.same({ y = 2 }, collect { y = 2 })
  end)

  it("checks its argument", function()
    raises("ArgumentError", sk.pairs, 1)
    raises("ArgumentError", sk.pairs)
    raises("ArgumentError", sk.ipairs, "x")
    raises("ArgumentError", sk.len, 5)
    raises("ArgumentError", sk.snapshot, sk.Counter(1))
  end)
end)

describe("ipairs and len", function()
  after_each(fixture.clean_up)

  for name, array in pairs(ARRAYS) do
    it("are of the items of " .. name, function()
      local t = array(new())
      local n = sk.len(t)
      assert.equal(#t, n)
      local seen = {}
      for i, v in sk.ipairs(t) do seen[i] = v end
      assert.equal(n, #seen)
      for i = 1, n do assert.equal(t[i], seen[i]) end
    end)
  end

  it("end before the first hole", function()
    local share = fixture.share()
    share.t = { 1, 2, [4] = 4 }
    local seen = {}
    for i, v in sk.ipairs(share.t) do seen[i] = v end
    assert.same({ 1, 2 }, seen)
  end)
end)

describe("snapshot", function()
  after_each(fixture.clean_up)

  it("is a plain deep copy, with objects of their classes", function()
    local share = new()
    local copy = sk.snapshot(share)
    assert.equal(Cell, getmetatable(copy.cell))
    assert.same({ n = 2, list = { 1, 2, 3 } }, copy.t)
    assert.is_nil(getmetatable(copy.t))
    assert.is_true(rawequal(copy.knot, copy.knot.me))
    copy.t.n = 100
    copy.cell.t.n = 100
    assert.equal(2, share.t.n)
    assert.equal(5, share.cell.t.n)
    assert.equal(5, sk.snapshot(share.cell).t.n)
  end)

  it("keeps shared types as they are", function()
    local share, counter = fixture.share(), sk.Counter(1)
    share.t = { counter = counter }
    sk.snapshot(share.t).counter:increment()
    assert.equal(2, counter.value)
  end)

  it("of a plain table is a copy as well", function()
    local t = { a = { 1 } }
    local copy = sk.snapshot(t)
    assert.same(t, copy)
    copy.a[1] = 2
    assert.equal(1, t.a[1])
  end)
end)

describe("insert and remove", function()
  after_each(fixture.clean_up)

  for name, array in pairs(ARRAYS) do
    it("work like those of table: on " .. name, function()
      local t = array(new())
      local model = {}
      for i, v in sk.ipairs(t) do model[i] = v end
      local function same()
        assert.equal(#model, #t)
        for i = 1, #model do assert.equal(model[i], t[i]) end
      end
      sk.insert(t, "end")
      table.insert(model, "end")
      same()
      sk.insert(t, 1, "first")
      table.insert(model, 1, "first")
      same()
      sk.insert(t, #t + 1, "last")
      table.insert(model, #model + 1, "last")
      same()
      assert.equal(table.remove(model, 2), sk.remove(t, 2))
      same()
      assert.equal(table.remove(model), sk.remove(t))
      same()
      while #model > 0 do
        assert.equal(table.remove(model, 1), sk.remove(t, 1))
      end
      assert.is_nil(sk.remove(t))
      same()
    end)

    it("move tables with the rest: on " .. name, function()
      local t = array(new())
      while #t > 0 do sk.remove(t) end
      sk.insert(t, { "a" })
      sk.insert(t, { "b" })
      sk.insert(t, 1, { "c" })
      assert.equal("c", t[1][1])
      assert.equal("b", t[3][1])
      assert.equal("a", sk.remove(t, 2)[1])
      assert.equal("b", t[2][1])
    end)

    it("refuse a position that is not there: on " .. name, function()
      local t = array(new())
      local n = #t
      for _, bad in ipairs { 0, -1, n + 2, 100 } do
        assert.has_error(function() sk.insert(t, bad, "x") end)
        assert.has_error(function() sk.remove(t, bad) end)
      end
      assert.equal(n, #t)
      for _, bad in ipairs { 1.5, "1", {} } do
        raises("ArgumentError", sk.insert, t, bad, "x")
        raises("ArgumentError", sk.remove, t, bad)
      end
      raises("ArgumentError", sk.insert, t)
      raises("ArgumentError", sk.insert, t, nil)
      raises("ArgumentError", sk.insert, t, 1, nil)
    end)
  end

  it("copy what is shared", function()
    local share = new()
    sk.insert(share.list, share.t)
    share.t.n = 50
    assert.equal(2, share.list[4].n)
    sk.insert(share.list, { share.t })
    share.t.n = 60
    assert.equal(50, share.list[5][1].n)
  end)

  it("of objects keep them objects", function()
    local share = fixture.share()
    share.list = {}
    sk.insert(share.list, Cell())
    sk.insert(share.list, 1, "x")
    assert.equal(3, share.list[2]:add(2))
    local cell = sk.remove(share.list, 2)
    assert.equal(Cell, getmetatable(cell))
    assert.equal(3, cell.n)
  end)

  it("check their first argument", function()
    for _, bad in ipairs { 1, "x", sk.Counter() } do
      raises("ArgumentError", sk.insert, bad, 1)
      raises("ArgumentError", sk.remove, bad)
    end
  end)
end)
