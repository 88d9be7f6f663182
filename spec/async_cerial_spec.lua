-- cerial in slices: the same bytes and values as in one go, whatever the size
-- of the slices and whatever happens between them.

local async_helper = require "spec.async_helper"

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local async, cerial = sk.async, sk.cerial
local run, caught = async_helper.run, async_helper.caught

local TRUSTED = { trusted = true }

local Point = sk.class "AsyncCerialPoint"
function Point:init(x) self.x = x end
cerial.register("spec.AsyncCerialPoint", Point)

local Hooked = sk.class "AsyncCerialHooked"
function Hooked.__serialize(self) return { inside = { self.x } } end
function Hooked.__deserialize(state)
  return setmetatable({ x = state.inside[1] }, Hooked)
end
cerial.register("spec.AsyncCerialHooked", Hooked)

local function make_deep(n)
  local root = {}
  local at = root
  for _ = 1, n do
    at.down = { [at == root] = 1 }
    at = at.down
  end
  return root
end

-- Values of every kind, each with a check of its copy.
local samples = {
  scalars = function()
    local v = { 1, -2, 0.5, "text", true, false, 2^40, 1e300, "" }
    return v, function(c) assert.same(v, c) end
  end,
  numbers = function()
    local v = {}
    for i = 1, 3000 do v[i] = i % 7 == 0 and i / 3 or i end
    return v, function(c) assert.same(v, c) end
  end,
  maps = function()
    local v = { list = { 1, nil, 3 }, [true] = "yes", [2.5] = {} }
    for i = 1, 300 do v["key" .. i] = { id = i } end
    return v, function(c) assert.same(v, c) end
  end,
  identity = function()
    local shared = { "shared" }
    local v = { a = shared, b = shared, keys = { [shared] = shared } }
    v.self = v
    return v, function(c)
      assert.equal(c, c.self)
      assert.equal(c.a, c.b)
      assert.equal(c.a, c.keys[c.a])
      assert.equal("shared", c.a[1])
    end
  end,
  depth = function()
    return make_deep(2000), function(c)
      local n = 0
      while c.down do c, n = c.down, n + 1 end
      assert.equal(2000, n)
    end
  end,
  objects = function()
    local v = {}
    for i = 1, 50 do v[i] = i % 2 == 0 and Point(i) or Point({ i }) end
    return v, function(c)
      assert.equal(Point, getmetatable(c[50]))
      assert.equal(50, c[50].x)
      assert.same({ 49 }, c[49].x)
    end
  end,
  hooks = function()
    local v, h = {}, setmetatable({ x = 7 }, Hooked)
    for i = 1, 20 do v[i] = h end
    return v, function(c)
      assert.equal(7, c[1].x)
      assert.equal(c[1], c[20])
    end
  end,
  functions = function()
    local n = 10
    local v = {
      add = function() n = n + 1 return n end,
      get = function() return n end,
    }
    return v, function(c) assert.equal(c.add(), 11) end
  end,
  nothing = function()
    return nil, function(c) assert.is_nil(c) end
  end,
}

local function encode(value, items)
  local slices = core.cerial_encode_slices(value)
  while true do
    local is_over, bytes = slices:step(items)
    if is_over then return bytes end
  end
end

local function decode(bytes, items, trusted)
  local slices = core.cerial_decode_slices(bytes, trusted)
  while true do
    local is_over, value = slices:step(items)
    if is_over then return value end
  end
end

describe("async.cerial", function()
  after_each(helper.nothing_left)

  for name, make in pairs(samples) do
    it("carries " .. name .. " in slices of any size", function()
      for _, items in ipairs { 1, 2, 7, 256 } do
        local value, check = make()
        local bytes = encode(value, items)
        check(cerial.deserialize(bytes, TRUSTED))
        check(decode(cerial.serialize(value), items, true))
        check(decode(bytes, items, true))
      end
    end)
  end

  it("has the functions of cerial", function()
    run(function()
      local bytes = async.cerial.serialize { 1, { 2 } }
      assert.same({ 1, { 2 } }, async.cerial.deserialize(bytes))
      assert.same({ n = 3, 1, nil, 3 }, {
        n = 3, async.cerial.deserialize_many(
          async.cerial.serialize_many(1, nil, 3)),
      })
      assert.equal(cerial.reference, async.cerial.reference)
      assert.is_true(sk.is(caught(async.cerial.serialize, { print },
                                  { functions = "refuse" }),
                           "SerializationError"))
      assert.is_true(sk.is(caught(async.cerial.serialize, make_deep(20),
                                  { max_depth = 10 }), "SerializationError"))
      assert.is_true(sk.is(caught(async.cerial.serialize, ("x"):rep(1000),
                                  { max_bytes = 100 }), "SerializationError"))
      assert.is_true(sk.is(caught(async.cerial.deserialize, bytes,
                                  { max_bytes = 3 }), "DeserializationError"))
      assert.is_true(sk.is(caught(async.cerial.deserialize, 5),
                           "ArgumentError"))
    end)
  end)

  it("lets other tasks run in the midst of it", function()
    run(function()
      local value = {}
      for i = 1, 20000 do value[i] = { id = i, name = "n" .. i } end
      local function turns_during(fn, ...)
        local turns, is_over = 0, false
        async.spawn(function()
          while not is_over do
            async.sleep(0)
            turns = turns + 1
          end
        end)
        async.sleep(0)
        local result = fn(...)
        is_over = true
        return turns, result
      end
      local turns, bytes = turns_during(async.cerial.serialize, value)
      assert.is_true(turns > 5)
      local copy
      turns, copy = turns_during(async.cerial.deserialize, bytes)
      assert.is_true(turns > 5)
      assert.equal("n20000", copy[20000].name)
    end)
  end)

  it("serves several tasks at once", function()
    run(function()
      local tasks = {}
      for i = 1, 8 do
        tasks[i] = async.spawn(function()
          local value = {}
          for k = 1, 3000 do value[k] = { i, k } end
          local copy = async.cerial.deserialize(async.cerial.serialize(value))
          return copy[3000][1]
        end)
      end
      assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, n = 8 }, async.gather(tasks))
    end)
  end)

  it("can be cancelled in the midst of it", function()
    run(function()
      local value = {}
      for i = 1, 50000 do value[i] = { i } end
      local task = async.spawn(async.cerial.serialize, value)
      async.sleep(0)
      async.sleep(0)
      task:cancel()
      assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
      assert.same({ 1 }, cerial.deserialize(cerial.serialize { 1 }))
    end)
  end)

  it("says where the value is that cannot go", function()
    run(function()
      local err = caught(function()
        local bytes = async.cerial.serialize {
          players = { {}, { callback = coroutine.create(function() end) } },
        }
        return bytes
      end)
      assert.equal("players[2].callback", err.path)
      assert.truthy(tostring(err.where):find "async_cerial_spec")
    end)
  end)

  it("is never misled by what the program does in between", function()
    -- What was sent is dropped and collected, and new things take its place:
    -- none of them may be taken for what was there.
    local value = {}
    for i = 1, 400 do value[i] = { "old" .. i, { i } } end
    local slices = core.cerial_encode_slices(value)
    local at, is_over, bytes = 0, false, nil
    while not is_over do
      is_over, bytes = slices:step(3)
      at = at % 400 + 1
      value[at] = { "new" .. at, { -at } }
      if at % 40 == 0 then collectgarbage() end
    end
    for i, pair in ipairs(cerial.deserialize(bytes)) do
      local word, n = pair[1], pair[2][1]
      assert.is_true(word == "old" .. i and n == i
                     or word == "new" .. i and n == -i)
    end
  end)

  it("notices keys that come and go", function()
    local value = {}
    for i = 1, 100 do value["k" .. i] = i end
    local slices = core.cerial_encode_slices(value)
    slices:step(20)
    for i = 1, 100 do value["k" .. i] = nil end
    for i = 1, 1000 do value["other" .. i] = i end
    collectgarbage()
    local ok, err
    repeat ok, err = pcall(slices.step, slices, 20) until not ok or err
    if ok then return end -- it met none of them
    assert.truthy(tostring(err):find("changed this table", 1, true)
                  or tostring(err):find("next", 1, true))
  end)

  it("does not let hooks wait or go on with their own message", function()
    local slices
    local Odd = sk.class "AsyncCerialOdd"
    function Odd.__serialize() return { slices:step(1) } end
    cerial.register("spec.AsyncCerialOdd", Odd)
    slices = core.cerial_encode_slices { setmetatable({}, Odd) }
    local ok, err
    repeat ok, err = pcall(slices.step, slices, 1) until not ok or err
    assert.is_false(ok)
    assert.is_false(pcall(slices.step, slices, 1)) -- it is over
  end)

  -- What was sent before is found while the set of it grows, at any size.
  it("keeps identity in messages of any number of objects", function()
    for _, n in ipairs { 100, 130, 300, 5000, 40000 } do
      local value = {}
      for i = 1, n do
        value[i] = { value[i - math.random(i)], "s" .. i % 1000 }
      end
      for _, bytes in ipairs { cerial.serialize(value), encode(value, 50) } do
        local copy = cerial.deserialize(bytes)
        local number = {}
        for i = 1, n do number[value[i]] = i end
        for i = 1, n do
          assert.equal(value[i][2], copy[i][2])
          local shared = value[i][1]
          local is_same = (shared and copy[number[shared]]) == copy[i][1]
          if not is_same then error("object " .. i .. " of " .. n) end
        end
      end
    end
  end)

  it("refuses the same bytes as in one go", function()
    local value = samples.maps()
    value.object, value.shared = Point(1), {}
    value.again = value.shared
    local bytes = cerial.serialize(value)
    local function same_as_whole(text)
      local ok, whole = pcall(cerial.deserialize, text)
      for _, items in ipairs { 1, 50 } do
        local ok_too, copy = pcall(decode, text, items, false)
        assert.equal(ok, ok_too)
        if not ok then assert.equal(whole.message, copy.message) end
      end
    end
    for cut = 0, #bytes, 97 do same_as_whole(bytes:sub(1, cut)) end
    math.randomseed(7)
    for _ = 1, 300 do
      local at = math.random(#bytes)
      same_as_whole(bytes:sub(1, at - 1) .. string.char(math.random(0, 255))
                    .. bytes:sub(at + 1))
    end
  end)
end)
