-- What the bytecode of PUC Lua 5.1 says of a function's parameters: there
-- debug.getlocal answers for running functions only, and says of no local
-- whether it is a parameter.
--
-- The format is that of ldump.c: a header of 12 bytes, of which the seventh
-- is 1 for little endian and the four behind it are sizes, and the function.

local HEADER = 12
local BOOLEAN, NUMBER, STRING = 1, 3, 4 -- kinds of constants

local Reader = {}
Reader.__index = Reader

local function new_reader(bytes)
  local is_little, int, size, instruction, number = bytes:byte(7, 11)
  return setmetatable({
    bytes = bytes, at = HEADER + 1, is_little = is_little == 1,
    int_size = int, size_size = size, instruction_size = instruction,
    number_size = number,
  }, Reader)
end

function Reader:skip(n) self.at = self.at + n end

function Reader:byte()
  self.at = self.at + 1
  return self.bytes:byte(self.at - 1)
end

function Reader:integer(size)
  local first, last, step = self.at + size - 1, self.at, -1
  if not self.is_little then first, last, step = last, first, 1 end
  local n = 0
  for i = first, last, step do n = n * 256 + self.bytes:byte(i) end
  self.at = self.at + size
  return n
end

function Reader:int() return self:integer(self.int_size) end

-- With a zero at the end, which counts; nothing at all is no string.
function Reader:string()
  local n = self:integer(self.size_size)
  self.at = self.at + n
  return n > 0 and self.bytes:sub(self.at - n, self.at - 2) or nil
end

function Reader:skip_constant()
  local kind = self:byte()
  if kind == BOOLEAN then self:skip(1)
  elseif kind == NUMBER then self:skip(self.number_size)
  elseif kind == STRING then self:string() end
end

-- One function, and those in it -> as the module's
function Reader:prototype()
  self:string()              -- source
  self:skip(2 * self.int_size + 1) -- first and last line, number of upvalues
  local count, vararg = self:byte(), self:byte()
  self:skip(1)               -- size of the stack
  self:skip(self:int() * self.instruction_size)
  for _ = 1, self:int() do self:skip_constant() end
  for _ = 1, self:int() do self:prototype() end
  self:skip(self:int() * self.int_size) -- lines
  local names = {}
  for i = 1, self:int() do   -- locals; the parameters come first
    local name = self:string()
    self:skip(2 * self.int_size)
    if i <= count then names[i] = name end
  end
  for _ = 1, self:int() do self:string() end -- names of upvalues
  return names, count, vararg > 0
end

-- -> names of a Lua function's parameters, as many as are known; how many
-- there are; is there a vararg
return function(fn)
  return new_reader(string.dump(fn)):prototype()
end
