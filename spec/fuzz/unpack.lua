-- The inputs of corpus.txt, one hexadecimal line each, as files of a folder.
-- usage: unpack.lua folder

local folder = assert(arg[1], "usage: unpack.lua folder")
local n = 0
for line in io.lines "spec/fuzz/corpus.txt" do
  n = n + 1
  local file = assert(io.open(folder .. "/seed-" .. n, "wb"))
  file:write((line:gsub("%x%x", function(byte)
    return string.char(tonumber(byte, 16))
  end)))
  file:close()
end
