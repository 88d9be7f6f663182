-- Dict, List and Results: tables that every process sees, by themselves or in
-- a Share.
local fixture = require "spec.share_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local raises = fixture.raises

local function sorted(t)
  table.sort(t, function(a, b) return tostring(a) < tostring(b) end)
  return t
end

setup(fixture.start_default)

describe("a Dict", function()
  after_each(fixture.clean_up)

  it("reads and writes like a table", function()
    local dict = sk.Dict { a = 1 }
    assert.equal(1, dict.a)
    dict.b = { nested = { 2 } }
    assert.equal(2, dict.b.nested[1])
    dict.b.nested[1] = 3
    assert.equal(3, dict.b.nested[1])
    dict.a = nil
    assert.is_nil(dict.a)
    assert.is_nil(dict.none)
  end)

  it("begins empty", function()
    local dict = sk.Dict()
    assert.equal(0, #dict)
    assert.same({}, dict:to_table())
    assert.same({}, dict:keys())
  end)

  it("has a size", function()
    local dict = sk.Dict { a = 1, b = 2, [1] = 3 }
    assert.equal(3, #dict)
    dict.c = 4
    assert.equal(4, #dict)
    dict.a = nil
    assert.equal(3, #dict)
  end)

  it("gets and sets any key, also one named like a method", function()
    local dict = sk.Dict()
    for _, key in ipairs { "get", "set", "pop", "keys", "x", 1, true } do
      assert.equal("none", dict:get(key, "none"))
      assert.is_nil(dict:get(key))
      dict:set(key, "value")
      assert.equal("value", dict:get(key, "none"))
      assert.is_true(dict:contains(key))
    end
    assert.is_function(dict.get)
    local err = raises("ArgumentError", function() dict.get = 1 end)
    assert.matches('use :set%("get", value%)', err.message)
    dict:set("off", false)
    assert.is_false(dict:get("off", "none"))
    assert.is_true(dict:contains "off")
    assert.is_false(dict:contains "nothing")
  end)

  it("begins with keys that are named like methods, too", function()
    local dict = sk.Dict { get = 1, update = { 2 } }
    assert.equal(1, dict:get "get")
    assert.equal(2, dict:get("update")[1])
  end)

  it("gives a value and forgets it", function()
    local dict = sk.Dict { a = 1, t = { 2 } }
    assert.equal(1, dict:pop "a")
    assert.is_nil(dict.a)
    assert.is_nil(dict:pop "a")
    assert.equal("none", dict:pop("a", "none"))
    assert.same({ 2 }, dict:pop "t")
    assert.equal(0, #dict)
  end)

  it("takes all pairs of a table", function()
    local dict = sk.Dict { a = 1, b = 1 }
    dict:update { b = 2, c = { 3 } }
    assert.same({ a = 1, b = 2, c = { 3 } }, dict:to_table())
    dict:update(sk.Dict { a = 5 })
    assert.equal(5, dict.a)
  end)

  it("lists its keys, values and items", function()
    local dict = sk.Dict { a = 1, b = 2 }
    assert.same({ "a", "b" }, sorted(dict:keys()))
    assert.same({ 1, 2 }, sorted(dict:values()))
    local items = dict:items()
    assert.equal(2, #items)
    for _, item in ipairs(items) do
      assert.equal(item[2], dict[item[1]])
    end
  end)

  it("is emptied", function()
    local dict = sk.Dict { a = 1, b = { 2 } }
    dict:clear()
    assert.equal(0, #dict)
    assert.is_nil(dict.b)
    dict.c = 1
    assert.equal(1, dict.c)
  end)

  it("is one value for all processes", function()
    local dict = sk.Dict { n = 0 }
    fixture.in_children(3, function(i)
      dict[i] = { i }
      for _ = 1, 20 do sk.increment(dict, "n") end
    end)
    assert.equal(60, dict.n)
    assert.same({ 2 }, sk.snapshot(dict[2]))
  end)

  it("does not share with another one", function()
    local one, two = sk.Dict { a = 1 }, sk.Dict { a = 2 }
    one.a = 3
    assert.equal(2, two.a)
    assert.are_not.equal(one, two)
  end)

  it("checks its arguments", function()
    raises("ArgumentError", sk.Dict, 1)
    raises("ArgumentError", sk.Dict, setmetatable({}, {}))
    local dict = sk.Dict { a = 1 }
    raises("ArgumentError", function() dict:update(5) end)
    raises("ArgumentError", function() dict:update() end)
    raises("ArgumentError", function() dict.get("a") end)
    raises("ArgumentError", function() dict.get({}, "a") end)
    raises("ArgumentError", function() dict:set({}, 1) end)
    raises("ArgumentError", function() dict:get({}) end)
    raises("ArgumentError", function() dict:pop() end)
    raises("ArgumentError", function() dict:contains({}) end)
    raises("SerializationError", function()
      dict.co = coroutine.create(function() end)
    end)
    raises("SerializationError", function()
      dict:update { co = coroutine.create(function() end) }
    end)
    assert.same({ a = 1 }, dict:to_table())
  end)

  it("says what is wrong with a table", function()
    assert.equal("Dict: initial must be a plain table: it has a metatable",
                 raises("ArgumentError", sk.Dict, setmetatable({}, {})).message)
    assert.matches("^Dict.x: coroutine cannot be serialized",
                   raises("SerializationError", sk.Dict, {
                     x = coroutine.create(function() end),
                   }).message)
  end)

  it("refuses at once what its update could not store later", function()
    local dict, cycle = sk.Dict { a = 1 }, {}
    cycle.x = cycle
    for _, bad in ipairs { { [print] = 1 }, { x = { [{}] = 1 } }, cycle } do
      raises("SerializationError", function() dict:update(bad) end)
    end
    dict:update { b = 2 }
    assert.same({ a = 1, b = 2 }, dict:to_table())
  end)
end)

describe("a List", function()
  after_each(fixture.clean_up)

  it("reads and writes like an array", function()
    local list = sk.List { 1, { 2 } }
    assert.equal(1, list[1])
    assert.equal(2, list[2][1])
    list[2][1] = 3
    assert.equal(3, list[2][1])
    list[1] = "one"
    list[3] = "appended"
    assert.same({ "one", { 3 }, "appended" }, list:to_table())
    assert.is_nil(list[4])
    assert.is_nil(list[0])
    assert.equal(3, #list)
  end)

  it("has no holes", function()
    local list = sk.List { 1, 2, 3 }
    assert.has_error(function() list[5] = 1 end)
    assert.has_error(function() list[2] = nil end)
    raises("ArgumentError", function() list[0] = 1 end)
    raises("ArgumentError", function() list[1.5] = 1 end)
    raises("ArgumentError", function() list.x = 1 end)
    list[3] = nil
    assert.same({ 1, 2 }, list:to_table())
    raises("ArgumentError", sk.List, { 1, nil, 3, x = 1 })
    raises("ArgumentError", sk.List, { x = 1 })
    raises("ArgumentError", sk.List, "abc")
  end)

  it("appends, extends and inserts", function()
    local list = sk.List()
    list:append "a"
    list:append(false)
    list:extend { "c", "d" }
    list:extend(sk.List { "e" })
    list:insert(1, "first")
    list:insert(#list + 1, "last")
    assert.same({ "first", "a", false, "c", "d", "e", "last" },
                list:to_table())
  end)

  it("gives an item and forgets it", function()
    local list = sk.List { "a", { "b" }, "c" }
    assert.equal("c", list:pop())
    assert.equal("a", list:pop(1))
    assert.same({ "b" }, list:pop())
    assert.is_nil(list:pop())
    assert.equal(0, #list)
  end)

  it("removes the first equal item", function()
    local list = sk.List { "a", "b", "a" }
    assert.is_true(list:remove "a")
    assert.same({ "b", "a" }, list:to_table())
    assert.is_false(list:remove "z")
    assert.is_true(list:remove "a")
    assert.same({ "b" }, list:to_table())
  end)

  it("is emptied", function()
    local list = sk.List { 1, 2 }
    list:clear()
    assert.equal(0, #list)
    list:append(3)
    assert.same({ 3 }, list:to_table())
  end)

  it("is one value for all processes: no append is lost", function()
    local list = sk.List()
    fixture.in_children(3, function(i)
      for n = 1, 30 do list:append(i * 100 + n) end
    end)
    assert.equal(90, #list)
    local seen, last = {}, {}
    for _, v in sk.ipairs(list) do
      assert.is_nil(seen[v])
      seen[v] = true
      local i = math.floor(v / 100)
      assert.is_true(v > (last[i] or 0)) -- of one process in its order
      last[i] = v
    end
  end)

  it("checks its arguments", function()
    local list = sk.List { 1 }
    raises("ArgumentError", function() list:append() end)
    raises("ArgumentError", function() list:insert("x", 1) end)
    raises("ArgumentError", function() list:insert(1) end)
    raises("ArgumentError", function() list:pop("x") end)
    raises("ArgumentError", function() list:pop(0) end)
    raises("ArgumentError", function() list:remove() end)
    raises("ArgumentError", function() list:extend(5) end)
    raises("ArgumentError", function() list:extend() end)
    raises("ArgumentError", function() list.append(1) end)
    local err = raises("ArgumentError", function() return list.apend end)
    assert.matches('did you mean "append"', err.message)
    local function message(...)
      local e = raises("ArgumentError", ...)
      assert.matches("collections_spec.lua:%d+$", e.where)
      return e.message
    end
    assert.equal("List: position must be from 1 to 2, got 3",
                 message(function() list:insert(3, "x") end))
    assert.equal("List: position must be from 1 to 1, got 2",
                 message(function() list:pop(2) end))
    assert.equal("List: only the last item can be set to nil; use remove or "
      .. "pop", message(function() sk.List { 1, 2 }[1] = nil end))
    assert.equal('List: "append" is a method and cannot be assigned',
                 message(function() list.append = 1 end))
    assert.equal("List:append: value must be anything but nil, got nil",
                 message(function() list:append(nil) end))
    assert.same({ 1 }, list:to_table())
  end)

  it("says why a table is no array", function()
    local function reason(t)
      return raises("ArgumentError", sk.List, t).message
    end
    assert.equal('List: initial must be an array: it has the key "a"',
                 reason { a = 1 })
    assert.matches("^List: initial must be an array.",
                   reason { 1, 2, nil, 4 })
    local list = sk.List { 1 }
    assert.equal('List:extend: items must be an array: it has the key "a"',
                 raises("ArgumentError", function()
                   list:extend { 2, a = 1 }
                 end).message)
    assert.same({ 1 }, list:to_table())
  end)

  it("refuses at once what it could not store later", function()
    local list, cycle = sk.List { 1 }, {}
    cycle.x = cycle
    for _, bad in ipairs { { [print] = 1 }, { x = { [{}] = 1 } }, cycle } do
      raises("SerializationError", function() list:append(bad) end)
      raises("SerializationError", function() list:extend { bad } end)
      local err = raises("SerializationError", function()
        list:insert(1, bad)
      end)
      assert.matches("^List:insert: ", err.message)
    end
    assert.same({ 1 }, list:to_table())
  end)

  it("may have long arrays put into it", function()
    local items = {}
    for i = 1, 20000 do items[i] = i end
    local list = sk.List(items)
    assert.equal(20000, #list)
    assert.equal(20000, list[20000])
    list:append "end"
    assert.equal("end", list[20001])
    assert.equal("end", list:pop())
  end)
end)

describe("Results", function()
  after_each(fixture.clean_up)

  it("collect one result of each worker", function()
    local results = sk.Results(4)
    fixture.in_children(3, function(i) results:set(i, { i * i }) end)
    assert.same({ 4 }, results:get(2))
    assert.is_nil(results:get(4))
    local all = results:collect()
    assert.equal(4, all.n)
    assert.same({ 9 }, all[3])
    assert.is_nil(all[4])
    assert.equal(4, #results)
  end)

  it("may be any value, and be replaced", function()
    local results = sk.Results(1)
    for _, value in ipairs { 1, "x", false, { a = { 1 } } } do
      results:set(1, value)
      assert.same(value, results:get(1))
    end
    results:set(1, function() return 5 end)
    assert.equal(5, results:get(1)())
    results:set(1, nil)
    assert.is_nil(results:get(1))
    assert.equal(1, results:collect().n)
  end)

  it("are copies", function()
    local results = sk.Results(1)
    results:set(1, { 1 })
    results:get(1)[1] = 2
    assert.equal(1, results:get(1)[1])
  end)

  it("check their arguments", function()
    for _, bad in ipairs { 0, -1, 1.5, "4", {} } do
      raises("ArgumentError", sk.Results, bad)
    end
    raises("ArgumentError", sk.Results)
    local results = sk.Results(2)
    for _, bad in ipairs { 0, 3, 1.5, "1" } do
      local err = raises("ArgumentError", function()
        results:set(bad, 1)
      end)
      assert.matches("from 1 to 2", err.message)
      raises("ArgumentError", function() results:get(bad) end)
    end
    assert.equal("Results: 1 cannot be assigned; use :set(worker, value)",
      raises("ArgumentError", function() results[1] = 1 end).message)
    assert.equal("Results has no field 1; use :get(worker)",
      raises("ArgumentError", function() return results[1] end).message)
    raises("ArgumentError", function() return results.x end)
    raises("ArgumentError", function() results.get(1) end)
  end)
end)

describe("a shared type in a Share", function()
  after_each(fixture.clean_up)

  it("stays what it is: Dict, List and Results", function()
    local share = fixture.share()
    share.dict = sk.Dict { a = 1 }
    share.list = sk.List { 1, 2 }
    share.results = sk.Results(2)
    assert.equal(1, share.dict:get "a")
    share.dict:set("get", 5)
    assert.equal(5, share.dict:get "get")
    assert.equal(2, share.list:pop())
    share.list:append "x"
    assert.same({ 1, "x" }, share.list:to_table())
    share.results:set(1, "r")
    assert.equal("r", share.results:get(1))
    helper.in_child(function()
      assert(share.dict:pop "a" == 1)
      share.list:append "child"
    end)
    assert.is_nil(share.dict.a)
    assert.equal("child", share.list[3])
  end)

  it("is the same one that was assigned", function()
    local share = fixture.share()
    local dict, list = sk.Dict { a = 1 }, sk.List { 1 }
    share.dict, share.list = dict, list
    dict.a = 2
    list:append(2)
    assert.equal(2, share.dict.a)
    assert.equal(2, #share.list)
  end)

  it("stays what it is in a table and in an object", function()
    local share = fixture.share()
    local dict = sk.Dict { a = 1 }
    share.t = { deep = { dict = dict } }
    share.t.deep.dict:set("a", 2)
    assert.equal(2, dict.a)
    local Holder = sk.class "Holder"
    function Holder:init() self.list = sk.List() end
    share.h = Holder()
    share.h.list:append "x"
    assert.equal("x", share.h.list[1])
  end)

  it("travels by handle", function()
    local dict, list, results = sk.Dict { a = 1 }, sk.List { 1 }, sk.Results(1)
    local copy = sk.cerial.deserialize(sk.cerial.serialize {
      dict, list, results, dict,
    })
    copy[1].a = 2
    copy[2]:append(2)
    copy[3]:set(1, "r")
    assert.equal(2, dict.a)
    assert.equal(2, #list)
    assert.equal("r", results:get(1))
    assert.is_true(copy[1] == copy[4] and copy[1] == dict)
    assert.equal("Dict", tostring(dict))
    assert.equal("class List", tostring(sk.List))
  end)

  it("is captured by a Pool's tasks", function()
    local dict, list = sk.Dict(), sk.List()
    local pool = sk.Pool { workers = 2 }
    pool:map(function(i)
      dict[i] = i
      list:append(i)
    end, { 1, 2, 3 })
    pool:close()
    assert.same({ 1, 2, 3 }, dict:to_table())
    assert.same({ 1, 2, 3 }, sorted(list:to_table()))
  end)
end)
