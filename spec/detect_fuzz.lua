-- Random methods for the detector's specs: a class of a few methods whose
-- bodies are made from a grammar. They loop little and catch their errors, so
-- that each can be run, and what they change compared with what is detected.

local detect = require "suitkaise.detect"

local Writer = {}
Writer.__index = Writer

local FIELDS = { "a", "b", "c", "d", "e", "list", "log" }
local KEYS = { "x", "y", "n" }
local METHODS = { "m1", "m2", "m3", "m4", "__call", "__concat" }

function Writer:pick(list) return list[self.random(#list)] end

function Writer:line(text, ...)
  self.lines[#self.lines + 1] = string.format(text, ...)
end

local function local_name(self)
  return "v" .. self.random(3)
end

-- ---- expressions ----

local function base(self)
  local kind = self.random(10)
  if kind <= 4 then return "self." .. self:pick(FIELDS) end
  if kind <= 8 then return local_name(self) end
  if kind == 9 then
    return self:pick { "shared", "arg", "up.t", "G_TABLE", "Class.e",
                       "up.all[1]", "T(up.all[1])." .. self:pick(FIELDS) }
  end
  return "self[" .. self:pick { "key", '"b"', '"log"' } .. "]"
end

local function place(self)
  local kind = self.random(6)
  if kind <= 3 then return "self." .. self:pick(FIELDS) end
  if kind == 4 then return local_name(self) end
  if kind == 5 then
    return "T(" .. base(self) .. ")." .. self:pick(KEYS)
  end
  return "T(" .. base(self) .. ")[" .. self:pick { "1", "key", "2" } .. "]"
end

local value

local function table_value(self, depth)
  local kind = self.random(5)
  if kind == 1 then return "{}" end
  if kind == 2 then return "{ x = " .. value(self, depth) .. " }" end
  if kind == 3 then
    return "{ " .. value(self, depth) .. ", " .. value(self, depth) .. " }"
  end
  if kind == 4 then return "setmetatable({ y = 1 }, Other)" end
  return "wrap(" .. value(self, depth) .. ")"
end

local function call_value(self, depth)
  local a = value(self, depth)
  return self:pick {
    "pass(" .. a .. ")", "first(" .. a .. ", 1)",
    "self:" .. self:pick(METHODS) .. "(" .. a .. ", key)",
    "T(" .. a .. "):touch()", "T(" .. a .. "):get()",
    "(select(2, 0, " .. a .. "))", "(next(T(" .. a .. ")))",
    "(select(2, next(T(" .. a .. "))))",
    "(select(2, pcall(pass, " .. a .. ")))",
    "table.remove(T(" .. a .. "))", "rawget(T(" .. a .. "), 'x')",
    "Class." .. self:pick(METHODS) .. "(self, " .. a .. ")",
    "opaque(" .. a .. ")", "(" .. a .. " or " .. base(self) .. ")",
    "unpack({ " .. a .. " })", "up.hold(" .. a .. ")",
    "self(" .. a .. ", key)", "(self .. " .. a .. ")", "(1 .. self)",
    "up.get(" .. a .. ")", "Class.new(" .. a .. ")",
    "(function() return " .. a .. " end)()", "({ self = " .. a .. " }).self",
  }
end

function value(self, depth)
  depth = (depth or 0) + 1
  local kind = self.random(12)
  if depth > 3 or kind <= 2 then return tostring(self.random(9)) end
  if kind <= 5 then return base(self) end
  if kind <= 7 then return table_value(self, depth) end
  if kind == 8 then return "N(" .. base(self) .. ") + 1" end
  if kind == 9 and self.random(4) == 1 then return "self" end
  if kind == 10 then return base(self) .. " and " .. base(self) end
  return call_value(self, depth)
end

-- ---- statements ----

local block

local function assign(self)
  self:line("%s = %s", place(self), value(self))
end

local function two(self)
  self:line("%s, %s = %s, %s", place(self), place(self), value(self),
            value(self))
end

local function branch(self, depth)
  self:line("if %s then", value(self))
  block(self, depth)
  if self.random(2) == 1 then
    self:line("else")
    block(self, depth)
  end
  self:line("end")
end

local function loop(self, depth)
  self:line(self:pick {
    "for i = 1, 2 do local key = i",
    "for k, v1 in pairs(T(" .. base(self) .. ")) do",
    "for i, v2 in ipairs(T(" .. base(self) .. ")) do",
    "for k in next, T(" .. base(self) .. ") do local v3 = k",
    "for _, v1 in each(T(" .. base(self) .. ")) do",
  })
  block(self, depth)
  self:line("if tick() then break end end")
end

local function closure(self, depth)
  local name = local_name(self)
  self:line("local f = function(%s)", name)
  block(self, depth)
  self:line("return %s end", value(self))
  self:line(self:pick {
    "v1 = f(" .. value(self) .. ")", "pcall(f, " .. value(self) .. ")",
    "v2 = opaque(f)", "self.%s = f", "opaque(self.c, f)",
    "table.sort({ 2, 1 }, function(p, q) f(p) return p < q end)",
    "v3 = f", "string.gsub('ab', '.', f)",
    "local co = coroutine.wrap(f) co(" .. value(self) .. ")",
  }, self:pick(FIELDS))
end

local function in_place(self)
  local b = "T(" .. base(self) .. ")"
  self:line(self:pick {
    b .. "[#" .. b .. " + 1] = " .. value(self),
    "table.insert(" .. b .. ", " .. value(self) .. ")",
    "table.remove(" .. b .. ", 1)", "put(" .. b .. ", " .. value(self) .. ")",
    b .. ":touch(" .. value(self) .. ")",
    "rawset(" .. b .. ", 'n', " .. value(self) .. ")",
    "rawset(self, '" .. self:pick(FIELDS) .. "', " .. value(self) .. ")",
    "setmetatable(" .. b .. ", Other)", "table.sort(N2(" .. b .. "))",
    "shared = " .. value(self), "up.t = " .. value(self),
    "G_TABLE = " .. value(self), "up.t.x = " .. value(self),
    "opaque(" .. value(self) .. ", " .. value(self) .. ")",
    "call(self.cb, " .. value(self) .. ")",
    "self[key] = " .. value(self), "Class.e = " .. value(self),
    "self[key], self[names[1]] = v1, " .. value(self),
    "for i = 1, 2 do self[names[i]] = " .. value(self) .. " end",
    "for i = 1, 2 do self[names[i]] = " .. local_name(self) .. " end",
    "for k, v in pairs(T(arg)) do self[k] = v end",
    "string.gsub('ab', '.', function(k) self[k] = v1 end)",
    "local t = {} self[names[1]] = { t } self[names[2]] = { t }",
    "for i = 1, 2 do set(self, names[i], " .. value(self) .. ") end",
    "self:" .. self:pick(METHODS) .. "(" .. value(self) .. ")",
  })
end

function block(self, depth)
  depth = (depth or 0) + 1
  self:line("local v1, v2, v3 = v1, v2, v3")
  for _ = 1, self.random(3) do
    local kind = self.random(12)
    if kind <= 4 or depth > 3 then assign(self)
    elseif kind <= 8 then in_place(self)
    elseif kind == 9 then two(self)
    elseif kind == 10 then branch(self, depth)
    elseif kind == 11 then loop(self, depth)
    else closure(self, depth) end
  end
end

local HEAD = [[
local T, N, N2, tick, opaque, unpack, new_class = ...
local Class, Other = new_class(), {}
Other.__index = Other
function Other:touch(v) self.n = v or 1 return self.x end
function Other:get() return self.x or self end
local shared, up, key = {}, { t = {}, all = {} }, "c"
local names = { "a", "b" }
local function pass(v) return v end
local function first(v, w) return v end
local function wrap(v) local t = {} t.y = v return t end
local function put(t, v) t.x = v end
local function each(t) return next, t end
local function set(t, k, v) t[k] = v end
local function call(f, v) if f then return f(v) end end
local kept
function up.hold(v) local old = kept kept = v return old end
function up.get() return kept end
]]

local fuzz = {}

-- A constructor: it may fill its object as a method would, and keep it.
local function constructor(self)
  self:line([[function Class.new(arg, key)
local self = setmetatable({
  list = { { x = 1 }, { x = 2 } }, log = { 1, 2, n = {} },
  a = { x = { y = {} } }, b = setmetatable({ x = {} }, Other),
  c = { 1, 2, 3, x = {} }, d = 5,
}, Class)
if tick() then return self end
local v1, v2, v3]])
  if self.random(2) == 1 then block(self) end
  if self.random(4) == 1 then
    self:line(self:pick {
      "up.all[1] = self", "up.t = self", "kept = self", "shared.x = self",
      "self.a.up = self", "up.hold(self)", "up.all[1] = { a = self.b }",
    })
  end
  self:line("return self end")
end

--- The source of a class, from a generator of random numbers.
function fuzz.program(random)
  local self = setmetatable({ random = random, lines = {} }, Writer)
  constructor(self)
  for _, name in ipairs(METHODS) do
    self:line("function Class:%s(arg, key) if tick() then return end", name)
    self:line("local v1, v2, v3")
    block(self)
    if self.random(3) == 1 then self:line("return %s", value(self)) end
    self:line("end")
  end
  return HEAD .. table.concat(self.lines, "\n") .. "\nreturn Class, Other"
end

--- Numbers that are the same everywhere for a seed.
function fuzz.generator(seed)
  local state = seed * 7919 % 2147483647 + 1
  return function(n)
    state = state * 48271 % 2147483647
    return math.floor(state / 2147483647 * n) + 1
  end
end

-- ---- running ----

local function words(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return table.concat(names, " ")
end

-- The text of all that a field holds; tables that come again are numbered.
local function picture(what, self, seen)
  if type(what) ~= "table" then
    return type(what) == "function" and "function" or tostring(what)
  end
  if what == self then return "self" end
  if seen[what] then return "#" .. seen[what] end
  seen.n = (seen.n or 0) + 1
  seen[what] = seen.n
  local lines = {}
  for k, v in next, what do
    local key = type(k) == "table" and "table" or tostring(k)
    lines[#lines + 1] = { key, k, v }
  end
  table.sort(lines, function(a, b) return a[1] < b[1] end)
  for i, line in ipairs(lines) do
    local key = type(line[2]) == "table" and picture(line[2], self, seen)
      or line[1]
    lines[i] = key .. "=" .. picture(line[3], self, seen)
  end
  return "{" .. table.concat(lines, ",") .. "}"
    .. (getmetatable(what) and "with class" or "")
end

local function pictures(object)
  local all = {}
  for name, held in next, object do
    all[name] = picture(held, object, {})
  end
  return all
end

local function missing(before, after, writes)
  for name in pairs(before) do
    if before[name] ~= after[name] and not writes[name] then return name end
  end
  for name in pairs(after) do
    if before[name] ~= after[name] and not writes[name] then return name end
  end
end

-- What a program of the fuzzer is given. `ticks` ends its loops.
local function surroundings(count)
  local function as_table(v)
    if type(v) == "table" then return v end
    return setmetatable({}, { __index = {
      touch = function() end, get = function() end,
    } })
  end
  local function mess(a, b)
    if type(a) == "function" then a(b) a {} return b end
    if type(b) == "function" then b(a) return a end
    if type(a) == "table" and not getmetatable(a) then a.x = b or 1 end
    return a
  end
  local hidden = coroutine.wrap(function(a, b)
    while true do a, b = coroutine.yield(mess(a, b)) end
  end)
  return as_table, function(v) return type(v) == "number" and v or 0 end,
    function() return {} end, function()
      count.ticks = count.ticks + 1
      return count.ticks > 60
    end, hidden, rawget(_G, "unpack") or table.unpack, function()
      local class = {}
      class.__index = class
      return class
    end
end

local function new_object(class, other)
  return setmetatable({
    list = { { x = 1 }, { x = 2 } }, log = { 1, 2, n = {} },
    a = { x = { y = {} } }, b = setmetatable({ x = {} }, other),
    c = { 1, 2, 3, x = {} }, d = 5,
  }, class)
end

--- Run the methods of one program, and fail when a field changes that is not
-- in `writes`. -> how often the answer was not "all"
function fuzz.try(seed)
  local source = fuzz.program(fuzz.generator(seed))
  local environment = setmetatable({ G_TABLE = {} }, { __index = _G })
  local program
  if setfenv then
    program = setfenv(assert(loadstring(source, "=program")), environment)
  else
    program = assert(load(source, "=program", "t", environment))
  end
  local count, random = { ticks = 0 }, fuzz.generator(seed + 1)
  local class, other = program(surroundings(count))
  local object, exact = new_object(class, other), 0
  if random(2) == 1 then
    local ok, made = pcall(class.new, {}, "a")
    object = ok and getmetatable(made) == class and made or object
  end
  for _ = 1, 6 do
    local name = METHODS[random(#METHODS)]
    local writes = detect.method(class, name).writes
    local before = pictures(object)
    count.ticks = 0
    pcall(object[name], object, ({ 1, {}, { x = {} }, "s" })[random(4)],
          ({ "a", "x", "log", 1 })[random(4)])
    if writes ~= "all" then
      exact = exact + 1
      local field = missing(before, pictures(object), writes)
      if field then
        error(string.format("seed %d: %s changed %s, not in writes: %s\n%s",
                            seed, name, field, words(writes), source), 0)
      end
    end
  end
  return exact
end

return fuzz
