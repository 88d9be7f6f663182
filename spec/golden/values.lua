-- The values of the golden files, by name: what each .hex file must read as.
-- A value is never changed; new ones get new names.

local V = {}

V.null = nil
V.yes, V.no = true, false
V.small_ints = { -4, 0, 27 }
V.ints = { -5, 28, 127, -128, 128, -32768, 40000, -2147483648, 2 ^ 31,
           -2 ^ 53, x = 2 ^ 53 }
V.floats = { 0.5, 0.1, 1 / 0, -1 / 0, 1e300, x = -1.25 }
V.strings = { "", "a", ("x"):rep(31), ("y"):rep(32), ("z"):rep(200),
              "a", ("y"):rep(32), k = "\0\255\n" }
V.keys = { [true] = 1, [1.5] = "f", [-7] = "n", name = { nested = {} } }
V.runs = {
  { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, { 1000, 2, 3, 4, 5, 6, 7, 8, -1000 },
  { 1e6, 2, 3, 4, 5, 6, 7, 8, 9 }, { 1e12, 2, 3, 4, 5, 6, 7, 8, 9 },
  { 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9 },
}
V.mixed = { "item", { 2 }, 3, field = "f", other = { 1, y = true } }

V.many_strings = {}
for i = 1, 100 do
  V.many_strings[i] = "string " .. i
  V.many_strings[100 + i] = "string " .. i
end

local shared = { "shared" }
V.shared = { shared, shared, again = { shared } }
V.cycle = { n = 1 }
V.cycle.me, V.cycle.list = V.cycle, { V.cycle }

local Point = { __index = {} }
local Hooked = {}
function Hooked.__serialize(self) return { self.list } end
function Hooked.__deserialize(state)
  return setmetatable({ list = state[1] }, Hooked)
end

--- Classes that have to be registered, by name.
V.classes = { ["golden.Point"] = Point, ["golden.Hooked"] = Hooked }

function V.make_objects()
  local p = setmetatable({ x = 1, y = 2 }, Point)
  local h = setmetatable({ list = { p } }, Hooked)
  h.list[2] = h
  return { p, setmetatable({ 1, 2 }, Point), h, h }
end

V.names = { "null", "yes", "no", "small_ints", "ints", "floats", "strings",
            "keys", "runs", "mixed", "many_strings", "shared", "cycle" }

return V
