-- What can be put into a Share, and what is read back.
local fixture = require "spec.share_helper"
local sk = require "suitkaise"

local HAS_INTEGERS = math.type ~= nil
local has_ffi, ffi = pcall(require, "ffi")
has_ffi = has_ffi and rawget(_G, "jit") ~= nil

local function is_nan(x) return x ~= x end

-- The same number, also when it is 0 or an integer.
local function same_number(a, b)
  assert.equal(a, b)
  assert.equal(1 / a, 1 / b)
  if HAS_INTEGERS then assert.equal(math.type(a), math.type(b)) end
end

-- Reads it twice: the second time the proxy remembers it.
local function round_trip(value)
  local share = fixture.share()
  share.value = value
  local first = share.value
  return first, share.value
end

describe("a value in a Share", function()
  after_each(fixture.clean_up)

  for name, n in pairs {
    zero = 0, one = 1, negative = -7, fraction = 0.1, large = 1e300,
    tiny = 5e-324, ["2^53"] = 2 ^ 53, ["2^53 - 1"] = 2 ^ 53 - 1,
    ["-2^53"] = -2 ^ 53, ["2^53 + 2"] = 2 ^ 53 + 2, ["2^63"] = 2 ^ 63,
    infinity = math.huge, ["negative infinity"] = -math.huge,
    ["negative zero"] = -1 / math.huge,
  } do
    it("may be the number " .. name, function()
      local share = fixture.share()
      share.n = n
      local read = share.n
      if HAS_INTEGERS then
        assert.equal(n, read)
        assert.equal(1 / n, 1 / read)
      else
        same_number(n, read)
      end
      assert.equal(n, share.n)
    end)
  end

  it("may be NaN", function()
    local a, b = round_trip(0 / 0)
    assert.is_true(is_nan(a) and is_nan(b))
  end)

  if HAS_INTEGERS then
    it("keeps integers and floats apart", function()
      local share = fixture.share()
      for _, n in ipairs { 3, 3.0, 0, -0.0, 2 ^ 53, math.maxinteger,
                           math.mininteger, math.tointeger(2 ^ 53) + 1 } do
        share.n = n
        same_number(n, share.n)
      end
    end)
  end

  if has_ffi then
    it("may be an int64, a uint64 or a complex number", function()
      for _, n in ipairs { ffi.new("int64_t", -1),
                           ffi.new("int64_t", 2 ^ 62) + 1,
                           ffi.new("uint64_t", -1), ffi.new("complex", 1, 2) }
      do
        local a, b = round_trip(n)
        assert.equal(tostring(n), tostring(a))
        assert.equal(tostring(n), tostring(b))
        assert.is_true(ffi.istype(ffi.typeof(n), a))
      end
    end)
  end

  it("may be true or false", function()
    assert.is_true((round_trip(true)))
    local a, b = round_trip(false)
    assert.is_false(a)
    assert.is_false(b)
  end)

  it("is gone when it is nil", function()
    local share = fixture.share()
    share.x, share.t = 1, { 1 }
    share.x, share.t = nil, nil
    assert.is_nil(share.x)
    assert.is_nil(share.t)
    assert.same({}, sk.snapshot(share))
  end)

  it("was never there when it is not", function()
    local share = fixture.share()
    assert.is_nil(share.x)
    share.y = nil
    assert.is_nil(share.y)
    assert.same({}, share:errors())
  end)

  for _, size in ipairs { 0, 1, 7, 8, 9, 2030, 2040, 2048, 100000, 10000000 }
  do
    it(("may be a string of %d bytes"):format(size), function()
      local text = ("\0x\255\n7"):rep(math.ceil(size / 5)):sub(1, size)
      local a, b = round_trip(text)
      assert.is_true(a == text and b == text)
    end)
  end

  it("may be every byte", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    local text = table.concat(all)
    assert.equal(text, (round_trip(text)))
  end)

  it("may be a function with what it captured", function()
    local n = 41
    local share = fixture.share()
    share.fn = function(x) return n + x end
    assert.equal(42, share.fn(1))
    assert.equal(43, share.fn(2))
  end)

  it("may be a Counter, a Flag and a Progress, which stay what they are",
  function()
    local share, counter = fixture.share(), sk.Counter(1)
    share.hits, share.ready = counter, sk.Flag()
    share.inside = { deep = { progress = sk.Progress(2) } }
    assert.equal(2, share.hits:increment())
    assert.equal(2, counter.value)
    share.ready:set()
    assert.is_true(share.ready.value)
    share.inside.deep.progress:increment(2)
    assert.is_true(share.inside.deep.progress.is_complete)
  end)

  it("changes its type", function()
    local share = fixture.share()
    for _, value in ipairs { 1, "one", true, 2.5, "", false } do
      share.x = value
      assert.equal(value, share.x)
      share.x = { value }
      assert.equal(value, share.x[1])
    end
  end)
end)

describe("a table in a Share", function()
  after_each(fixture.clean_up)

  local function nested(depth)
    local t = { leaf = "end" }
    for _ = 2, depth do t = { t } end
    return t
  end

  for _, depth in ipairs { 1, 2, 50, 99 } do
    it(("may be %d tables deep"):format(depth), function()
      local share = fixture.share()
      share.t = nested(depth)
      local t = share.t
      for _ = 2, depth do t = t[1] end
      assert.equal("end", t.leaf)
      t.leaf = "changed"
      assert.equal("changed", t.leaf)
      assert.same({}, share:errors())
    end)
  end

  for _, depth in ipairs { 100, 101, 102, 150 } do
    it(("cannot be %d tables deep, and says so"):format(depth), function()
      local share = fixture.share()
      share.t = 1
      local err = fixture.raises("SerializationError", function()
        share.t = nested(depth)
      end)
      assert.matches("share%.t%[1%]", err.message)
      assert.matches("deeper than 99", err.message)
      assert.equal(1, share.t)
      assert.same({}, share:errors())
    end)
  end

  it("cannot contain itself, and says so", function()
    local share = fixture.share()
    local t = { inner = {} }
    t.inner.outer = t
    local err = fixture.raises("SerializationError", function()
      share.t = t
    end)
    assert.matches("contains itself", err.message)
    assert.is_nil(share.t)
  end)

  it("may be wide", function()
    local share, wide = fixture.share(), {}
    for i = 1, 5000 do
      wide[i] = i * 2
      wide["k" .. i] = "v" .. i
    end
    share.wide = wide
    assert.equal(5000, #share.wide)
    for i = 1, 5000, 7 do
      assert.equal(i * 2, share.wide[i])
      assert.equal("v" .. i, share.wide["k" .. i])
    end
    assert.same(wide, sk.snapshot(share.wide))
  end)

  it("may be empty", function()
    local share = fixture.share()
    share.t = {}
    assert.equal(0, #share.t)
    assert.same({}, sk.snapshot(share.t))
    share.t.x = 1
    assert.equal(1, share.t.x)
  end)

  it("may have the same table at two places: then they are two", function()
    local share, common = fixture.share(), { 1 }
    share.t = { a = common, b = common }
    share.t.a[1] = 2
    assert.equal(2, share.t.a[1])
    assert.equal(1, share.t.b[1])
  end)

  it("is a copy: what it was made from changes nothing", function()
    local share, original = fixture.share(), { n = 1, t = { 1 } }
    share.t = original
    original.n, original.t[1] = 2, 2
    assert.same({ n = 1, t = { 1 } }, sk.snapshot(share.t))
  end)
end)

describe("a key in a Share", function()
  after_each(fixture.clean_up)

  it("may be any string, number or boolean", function()
    local share, n = fixture.share(), 0
    local keys = { "a", "", "with space", "a.b", "\0", ("k"):rep(100),
                   ("k"):rep(5000), 0, 1, -1, 1.5, 1e300, math.huge, -math.huge,
                   2 ^ 53, true, false }
    for i, key in ipairs(keys) do share[key] = i end
    for i, key in ipairs(keys) do
      assert.equal(i, share[key])
      n = n + 1
    end
    local seen = {}
    for key, value in sk.pairs(share) do seen[key] = value end
    for i, key in ipairs(keys) do assert.equal(i, seen[key]) end
    assert.equal(#keys, n)
  end)

  it("is not another one that looks like it", function()
    local share = fixture.share()
    share.t = { ["1"] = "string", [1] = "number", [true] = "boolean",
                ["true"] = "name" }
    assert.equal("string", share.t["1"])
    assert.equal("number", share.t[1])
    assert.equal("boolean", share.t[true])
    assert.equal("name", share.t["true"])
  end)

  it("is the same as a float and as an integer, and -0 is 0", function()
    local share = fixture.share()
    share[1] = "one"
    share[0] = "zero"
    assert.equal("one", share[1.0])
    assert.equal("zero", share[-1 / math.huge])
    share[2.0] = "two"
    assert.equal("two", share[2])
  end)

  it("is the same for a number of 2^53", function()
    local share = fixture.share()
    share[2 ^ 53] = "float"
    assert.equal("float", share[2 ^ 53])
    if HAS_INTEGERS then
      assert.equal("float", share[math.tointeger(2 ^ 53)])
    end
  end)

  for name, key in pairs {
    ["a table"] = {}, ["a function"] = print, NaN = 0 / 0,
    ["a coroutine"] = coroutine.create(function() end),
    ["a Counter"] = sk.Counter(),
  } do
    it("cannot be " .. name .. ", and that is said", function()
      local share = fixture.share()
      share.t = {}
      for _, t in ipairs { share, share.t } do
        local write = fixture.raises("ArgumentError", function()
          t[key] = 1
        end)
        local read = fixture.raises("ArgumentError", function()
          return t[key]
        end)
        assert.truthy(write.message:find(": key must be a string, a number or "
          .. "a boolean, got " .. sk.errors.show(key), 1, true))
        assert.equal(write.message, read.message)
      end
      local err = fixture.raises(name == "NaN" and "Error"
        or "SerializationError", function()
        share.u = { deep = { [name == "NaN" and {} or key] = 1 } }
      end)
      assert.matches("^share%.u%.deep%[.*%]: a key of a shared table must be",
                     err.message)
    end)
  end

  it("cannot be nil, and that is said", function()
    local share = fixture.share()
    local err = fixture.raises("ArgumentError", function() share[nil] = 1 end)
    assert.matches("share: key must be .*, got nil", err.message)
  end)
end)

describe("a value that cannot be shared", function()
  after_each(fixture.clean_up)

  local value = coroutine.create(function() end)

  it("is named with its place, and nothing is changed", function()
    local share = fixture.share()
    share.x, share.t = 1, { u = {} }
    local err = fixture.raises("SerializationError", function()
      share.x = value
    end)
    assert.matches("^share%.x: coroutine cannot be serialized", err.message)
    err = fixture.raises("SerializationError", function()
      share.x = { a = { 1, { b = value } } }
    end)
    assert.matches("^share%.x%.a%[2%]%.b: coroutine cannot", err.message)
    err = fixture.raises("SerializationError", function()
      share.t.u["a b"] = value
    end)
    assert.matches('^share%.t%.u%["a b"%]: coroutine cannot', err.message)
    assert.equal(1, share.x)
    assert.is_nil(share.t.u["a b"])
  end)
end)

describe("an assignment of what is shared", function()
  after_each(fixture.clean_up)

  it("copies the value", function()
    local share = fixture.share()
    share.y = { n = 1, t = { 1, 2 } }
    share.x = share.y
    share.x.n, share.x.t[1] = 2, "x"
    assert.same({ n = 2, t = { "x", 2 } }, sk.snapshot(share.x))
    assert.same({ n = 1, t = { 1, 2 } }, sk.snapshot(share.y))
  end)

  it("to itself changes nothing", function()
    local share = fixture.share()
    share.x = { n = 1, t = { 1, 2 } }
    local x = share.x
    share.x = share.x
    assert.same({ n = 1, t = { 1, 2 } }, sk.snapshot(share.x))
    x.n = 2
    assert.equal(2, share.x.n)
  end)

  it("into itself puts a copy there", function()
    local share = fixture.share()
    share.x = { n = 1 }
    share.x.x = share.x
    share.x.n = 2
    assert.equal(1, share.x.x.n)
    assert.is_nil(share.x.x.x)
  end)

  it("replaces all of the old value", function()
    local share = fixture.share()
    share.x = { a = 1, b = { 2 } }
    share.x = { c = 3 }
    assert.same({ c = 3 }, sk.snapshot(share.x))
  end)

  it("copies it out of another table", function()
    local share = fixture.share()
    share.y = { 1 }
    share.t = { share.y, deep = { { y = share.y } } }
    share.y[1] = 2
    assert.equal(1, share.t[1][1])
    assert.equal(1, share.t.deep[1].y[1])
    share.t.deep[1].y[1] = 3
    assert.equal(2, share.y[1])
  end)

  it("copies it into another Share", function()
    local one, two = fixture.share(), fixture.share()
    one.t = { n = { 1 } }
    two.t = one.t
    two.all = one
    one.t.n[1] = 2
    assert.equal(1, two.t.n[1])
    assert.equal(1, two.all.t.n[1])
  end)

  it("may be of a whole table to where it came from", function()
    local share = fixture.share()
    share.a = { b = { c = { 1 } } }
    share.a = share.a.b
    assert.same({ c = { 1 } }, sk.snapshot(share.a))
  end)

  it("through a proxy that is held goes to what is there now", function()
    local share = fixture.share()
    share.t = { n = 1 }
    local t = share.t
    share.t = { n = 5 }
    assert.equal(5, t.n)
    t.n = 6
    assert.equal(6, share.t.n)
  end)

  it("through a proxy of what is gone is reported", function()
    local share = fixture.share()
    share.t = { n = 1 }
    local t = share.t
    share.t = 7
    t.n = 2
    assert.is_nil(t.n)
    assert.equal(7, share.t)
    local list = share:errors()
    assert.equal(1, #list)
    assert.is_true(sk.is(list[1], "ShareError"))
    assert.matches("share%.t%.n: ", list[1].message)
  end)
end)

describe("a table's proxy", function()
  after_each(fixture.clean_up)

  it("is the same object as long as it is a table", function()
    local share = fixture.share()
    share.t = { u = {} }
    assert.is_true(rawequal(share.t, share.t))
    assert.is_true(share.t.u == share.t.u)
    share.t.u = { 1 }
    assert.equal(1, share.t.u[1])
  end)

  it("says where it is as text", function()
    local share = fixture.share()
    share.t = { ["a b"] = { [3] = { [true] = {} } } }
    assert.equal("share", tostring(share))
    assert.equal("share.t", tostring(share.t))
    assert.equal('share.t["a b"][3][true]', tostring(share.t["a b"][3][true]))
  end)

  it("has a length", function()
    local share = fixture.share()
    share.t = { 1, 2, 3, x = 1, y = 2 }
    assert.equal(3, #share.t)
    share.t[4] = 4
    share.t.z = 3
    assert.equal(4, #share.t)
    share.t[4], share.t[3] = nil, nil
    assert.equal(2, #share.t)
    share.t = { x = 1 }
    assert.equal(0, #share.t)
  end)

  it("travels by handle", function()
    local share = fixture.share()
    share.t = { n = 1 }
    local bytes = sk.cerial.serialize { share, share.t }
    local copy = sk.cerial.deserialize(bytes)
    copy[1].t.n = 2
    assert.equal(2, share.t.n)
    copy[2].n = 3
    assert.equal(3, share.t.n)
  end)

  it("of a share that is gone says so", function()
    local function bytes_of_another()
      local share = sk.Share()
      share.t = {}
      share:stop()
      return sk.cerial.serialize(share.t)
    end
    local bytes = bytes_of_another()
    for _ = 1, 4 do collectgarbage() end
    local ok, err = pcall(sk.cerial.deserialize, bytes)
    assert.is_false(ok)
    assert.is_true(sk.is(err, "DeserializationError"))
  end)
end)

describe("random operations", function()
  after_each(fixture.clean_up)

  local KEYS = { "a", "b", 1, 2, 3, true, "long key of some bytes" }
  local function random_key() return KEYS[math.random(#KEYS)] end

  local function random_value(depth)
    local kind = math.random(depth > 2 and 6 or 8)
    if kind == 1 then return math.random(1000) end
    if kind == 2 then return math.random() end
    if kind == 3 then return math.random() < 0.5 end
    if kind == 4 then return ("s"):rep(math.random(0, 300)) end
    if kind == 5 then return nil end
    if kind == 6 then return "short" end
    local t = {}
    for _ = 1, math.random(0, 4) do
      t[random_key()] = random_value(depth + 1)
    end
    return t
  end

  -- The table at a random way down, in the model and in the share.
  local function descend(model, share)
    while true do
      local key = random_key()
      if type(model[key]) ~= "table" or math.random() < 0.3 then
        return model, share
      end
      model, share = model[key], share[key]
    end
  end

  it("do the same to a plain table and to a Share", function()
    math.randomseed(11)
    local share, model = fixture.share(), {}
    for step = 1, 3000 do
      local m, s = descend(model, share)
      local key = random_key()
      local value = random_value(0)
      m[key], s[key] = sk.snapshot { value }[1], value
      if step % 3 == 0 then
        local probe = random_key()
        local read = s[probe]
        if type(m[probe]) == "table" then
          assert.same(m[probe], sk.snapshot(read))
        else
          assert.equal(m[probe], read)
        end
      end
      if step % 200 == 0 then assert.same(model, sk.snapshot(share)) end
    end
    assert.same({}, share:errors())
  end)
end)
