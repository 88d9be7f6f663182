-- Tables that the methods of a class share between fields, or keep where other
-- methods find them: a write to one is a write to each.

local detect = require "suitkaise.detect"
local helper = require "spec.helper"

local has_bytecode = helper.lua == "luajit"

local function words(set)
  if set == "all" then return "all" end
  local names = {}
  for name in pairs(set) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return table.concat(names, " ")
end

-- What `Class:go` is said to write, in a class of its own whose functions are
-- the source.
local function writes_of(source)
  local chunk = assert((loadstring or load)(
    "local opaque = ... local Class = {} Class.__index = Class\n"
    .. source .. "\nreturn Class"))
  return detect.method(chunk(coroutine.wrap(function() end)), "go").writes
end

local function expect(expected, source)
  if not has_bytecode then expected = "all" end
  assert.equal(expected, words(writes_of(source)))
end

-- At least these fields.
local function finds(expected, source)
  local writes = writes_of(source)
  if writes == "all" then return end
  for name in expected:gmatch "%S+" do
    assert(writes[name], name .. " is missing in " .. words(writes))
  end
end

local CHANGE_A = "function Class:go() self.a.x = 1 end "

describe("detect.method sees a table that is in two fields, because", function()
  after_each(helper.nothing_left)

  it("a method copied a field that the class sets to numbers only", function()
    expect("d list", [[
      function Class:copy() self.list = 1 self.d = self.list end
      function Class:go() self.d.x = 1 end]])
    expect("d e list", [[
      function Class:copy()
        self.list = 1
        self.d, self.e = self.list, self.list
      end
      function Class:go() self.d.x = 1 end]])
    expect("d list", [[
      function Class:copy() self.list = 1 self.d = { self.list } end
      function Class:go() self.d[1].x = 1 end]])
  end)

  for way, body in pairs {
    ["twice"] = "function Class:put(k, j, t) self[k] = t self[j] = t end",
    ["twice by rawset"] = [[function Class:put(k, j)
      local t = {}
      rawset(self, k, t)
      rawset(self, j, t)
    end]],
    ["in a loop"] = [[function Class:put(list)
      local t = {}
      for _, k in ipairs(list) do self[k] = t end
    end]],
    ["in a loop that makes it in its first turn"] = [[
      function Class:put(list)
        local t
        for _, k in ipairs(list) do
          if not t then t = {} end
          self[k] = t
        end
      end]],
    ["in a loop, by way of a helper"] = [[
      local function pass(t) return t end
      function Class:put(list)
        local t = {}
        for _, k in ipairs(list) do self[k] = pass(t) end
      end]],
    ["by a helper that is called twice"] = [[
      local function set(object, k, t) object[k] = t end
      function Class:put(k, j)
        local t = {}
        set(self, k, t)
        set(self, j, t)
      end]],
    ["by a method that calls itself"] = [[function Class:put(k, t)
      self[k] = t
      if #k > 0 then self:put(k:sub(2), t) end
    end]],
    ["by a method that returns it to itself"] = [[function Class:put(k)
      if k == "" then return {} end
      local t = self:put(k:sub(2))
      self[k] = t
      return t
    end]],
    ["by a function that string.gsub calls"] = [[function Class:put(text)
      local t = {}
      string.gsub(text, "%w", function(k) self[k] = t end)
    end]],
    ["from a variable of the module"] = [[
      local shared = {}
      function Class:put(k) self[k] = shared end]],
    ["from the class"] = [[
      Class.default = {}
      function Class:put(k) self[k] = Class.default end]],
    ["by the constructor"] = [[function Class.new(list)
      local object, t = setmetatable({}, Class), {}
      for _, k in ipairs(list) do object[k] = t end
      return object
    end]],
  } do
    it("it was stored under names that are not known, " .. way, function()
      finds("a b", body .. " " .. CHANGE_A)
    end)
  end

  it("it is inside of what was stored under unknown names", function()
    finds("a b", [[
      function Class:put(k, j, t) self[k] = { t } self[j] = { t } end
      function Class:go() self.a[1].x = 1 end]])
    finds("a b", [[
      function Class:put(list, t)
        for _, k in ipairs(list) do self[k] = { t } end
      end
      function Class:go() self.a[1].x = 1 end]])
  end)

  it("two methods took it from the same variable", function()
    finds("a b", [[
      local shared = {}
      function Class:one() self.a = shared end
      function Class:two() self.b = shared end ]] .. CHANGE_A)
    finds("a b", [[
      local shared
      function Class:zero(t) shared = t end
      function Class:one() self.a = shared end
      function Class:two() self.b = shared end ]] .. CHANGE_A)
    finds("a b", [[
      local shared
      function Class:one(t) shared = t self.a = t end
      function Class:two() self.b = shared end ]] .. CHANGE_A)
  end)

  it("two methods took it from the same part of a table", function()
    finds("a b", [[
      local shared = {}
      function Class:one() self.a = shared.part end
      function Class:two() self.b = shared.part end ]] .. CHANGE_A)
  end)

  for event, body in pairs {
    __call = "self.a = self.b", __tostring = "self.a = self.b",
    __add = "self.a = self.b", __unm = "self.a = self.b",
    __newindex = "rawset(self, 'a', x) rawset(self, 'b', x)",
  } do
    it(event .. " made it so", function()
      finds("a b", "function Class:" .. event .. "(k, x) " .. body
            .. " return '' end " .. CHANGE_A)
    end)
  end

  it("an operator made it so of its right side", function()
    finds("a b", "function Class.__lt(x, y) y.a = y.b return true end "
          .. CHANGE_A)
  end)

  it("a class that is called made it so", function()
    finds("a b", [[setmetatable(Class, { __call = function(class)
      local t = {}
      return setmetatable({ a = t, b = t }, class)
    end }) ]] .. CHANGE_A)
  end)

  it("it is in a field of the class", function()
    finds("b list", [[
      function Class:share() Class.list = self.b end
      function Class:go() self.list.x = 1 end]])
  end)
end)

describe("detect.method sees a table of self, or self, outside:", function()
  after_each(helper.nothing_left)

  it("a field's table in a variable", function()
    finds("a", [[
      local kept
      function Class:keep(t) kept = t self.a = t end
      function Class:go() kept.x = 1 end]])
    finds("a", [[
      local kept
      function Class:keep() kept = { self.a } end
      function Class:go() kept[1].x = 1 end]])
    finds("a", [[
      local kept
      function Class.new()
        local object = setmetatable({ a = {} }, Class)
        kept = object.a
        return object
      end
      function Class:go() kept.x = 1 end]])
  end)

  it("a field's table in a table", function()
    finds("a", [[
      local kept = {}
      function Class:keep() kept.t = {} self.a = kept.t end
      function Class:go() kept.t.x = 1 end]])
    finds("a", [[
      local kept = {}
      function Class:keep() kept.t = { { self.a } } end
      function Class:go() kept.t[1][1].x = 1 end]])
  end)

  for way, code in pairs {
    ["in a table"] = { "kept[1] = object", "kept[1].b = 1" },
    ["deep down in a table"] = { "kept.x = { { object } }",
                                 "kept.x[1][1].b = 1" },
    ["as a key"] = { "kept[object] = true", "next(kept).b = 1" },
    ["in a variable"] = { "other = object", "other.a.b = 1" },
    ["in a variable, in a table"] = { "other = { object }",
                                      "other[1].a.b = 1" },
    ["in a global"] = { "DETECT_ALIAS = object", "DETECT_ALIAS.b = 1" },
    ["in one of its fields"] = { "object.a.up = object",
                                 "self.a.up.b = 1" },
  } do
    it("an object that its constructor keeps " .. way, function()
      local function class(new)
        return "local kept, other = {} function Class" .. new
          .. code[1] .. " return object end "
          .. "function Class:go() " .. code[2] .. " end"
      end
      assert.equal("all", words(writes_of(class [[.new()
        local object = setmetatable({ a = {} }, Class) ]])))
      assert.equal("all", words(writes_of(class [[:new()
        local object = setmetatable({ a = {} }, self) ]])))
    end)
  end
end)

describe("detect.method stays exact for", function()
  after_each(helper.nothing_left)

  for what, body in pairs {
    ["a setter of any field"] = "function Class:set(k, v) self[k] = v end",
    ["fields that get tables of their own"] =
      "function Class:set(k) self[k] = {} end",
    ["options"] = [[function Class:init(options)
      for k, v in pairs(options) do self[k] = v end
    end]],
    ["a loop that makes tables"] = [[function Class:fill(n)
      for i = 1, n do self[i] = { list = {} } end
      for i = 1, n do
        local t = setmetatable({}, Class)
        t.x = i
        self[i] = t
      end
    end]],
    ["a loop that makes things with a function"] = [[
      local Item = {}
      Item.__index = Item
      function Item.new(x)
        return setmetatable({ x = x, list = {} }, Item)
      end
      function Class:fill(n)
        for i = 1, n do self[i] = Item.new(i) end
      end]],
    ["objects that their constructor keeps in a list"] = [[
      local all = {}
      function Class.new()
        local object = setmetatable({ a = {}, b = {} }, Class)
        all[#all + 1] = object
        return object
      end]],
    ["numbers that are copied"] = [[
      function Class:init() self.a, self.n = {}, 0 end
      function Class:copy() self.last, self.a[1] = self.n, self.n end]],
    ["default options"] = [[
      function Class:init(options)
        options = options or {}
        self.a = options.a or {}
        self.b = options.b or {}
      end]],
  } do
    it(what, function() expect("a", body .. " " .. CHANGE_A) end)
  end

  it("a counter whose value is copied", function()
    expect("n", [[
      function Class:init() self.n = 0 end
      function Class:copy() self.last = self.n end
      function Class:go() self.n = self.n + 1 end]])
  end)

  it("what is stored in a table that exists", function()
    expect("a", [[
      function Class:set(x) local to = x or {} to.b = self.b end
      function Class:go() local t = self.a or self.b self.a = {} end]])
  end)
end)
