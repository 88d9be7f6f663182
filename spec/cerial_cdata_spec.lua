-- LuaJIT's cdata: 64-bit integers, complex numbers, structs, handles.
if not rawget(_G, "jit") then return end

local cerial = require "suitkaise.cerial"
local helper = require "spec.cerial_helper"
local ffi = require "ffi"
ffi.cdef [[
  struct spec_point { double x, y; int32_t tags[3]; };
  struct spec_nested { struct spec_point p[2]; uint8_t flag : 3; };
  struct spec_pointer { char *s; };
  typedef struct { int a; } spec_named;
]]

describe("cdata", function()
  local copy = helper.copy

  it("numbers keep their type and bits", function()
    local literals = loadstring [[return { 0LL, -1LL, 7ULL,
      9223372036854775807LL, 18446744073709551615ULL }]]
    for _, n in ipairs(literals()) do
      local back = cerial.deserialize(cerial.serialize { n })[1]
      assert.equal(ffi.typeof(n), ffi.typeof(back))
      assert.is_true(n == back)
    end
    local c = cerial.deserialize(cerial.serialize(ffi.new("complex", 1, -2)))
    assert.equal(1, c.re)
    assert.equal(-2, c.im)
  end)

  it("structs go by value", function()
    local p = ffi.new("struct spec_point", 1.5, 2, { 7, 8, 9 })
    local back = copy { p, p }
    assert.equal(ffi.typeof(p), ffi.typeof(back[1]))
    assert.equal(1.5, back[1].x)
    assert.equal(9, back[1].tags[2])
    assert.is_true(rawequal(back[1], back[2]))
    back[1].x = 3
    assert.equal(1.5, p.x)
  end)

  it("structs in structs go by value", function()
    local n = ffi.new "struct spec_nested"
    n.p[1].y, n.flag = 4, 5
    local back = copy(n)
    assert.equal(4, back.p[1].y)
    assert.equal(5, back.flag)
  end)

  it("structs that have no tag go by a registered name", function()
    helper.error_of("SerializationError", cerial.serialize,
                    ffi.new("spec_named", 6))
    cerial.register("spec.named", ffi.typeof "spec_named")
    assert.equal(6, copy(ffi.new("spec_named", 6)).a)
  end)

  it("structs need trust, or a registered ctype", function()
    local bytes = cerial.serialize(ffi.new("struct spec_point", 1, 2))
    helper.error_of("DeserializationError", cerial.deserialize, bytes)
    local registry = require "suitkaise.cerial.registry"
    local ctype = ffi.typeof "struct spec_point"
    cerial.register("spec.point", ctype)
    bytes = cerial.serialize(ffi.new("struct spec_point", 1, 2))
    assert.equal(2, cerial.deserialize(bytes).y)
    registry.values["spec.point"] = nil
    registry.ctype_names[tonumber(ctype)] = nil
  end)

  it("pointers are refused", function()
    for _, value in ipairs { ffi.new "struct spec_pointer",
                             ffi.cast("void *", 1), ffi.new "char *[2]" } do
      local err = helper.error_of("SerializationError", cerial.serialize,
                                  { p = value })
      assert.equal("p", err.path)
    end
  end)

  it("types without a name are refused", function()
    local anonymous = ffi.new "struct { int a; }"
    helper.error_of("SerializationError", cerial.serialize, anonymous)
  end)

  it("of a registered handle travel as their state", function()
    ffi.cdef "struct spec_handle { void *p; int id; };"
    local ctype = ffi.typeof "struct spec_handle"
    cerial.handle("spec.handle", {
      match = ctype,
      serialize = function(h) return { h.id } end,
      deserialize = function(state) return ctype(nil, state[1]) end,
    })
    local h = ctype(nil, 42)
    local back = cerial.deserialize(cerial.serialize { h, h })
    assert.equal(42, back[1].id)
    assert.is_true(rawequal(back[1], back[2]))
  end)
end)
