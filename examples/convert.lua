-- A batch converter: CSV files become JSON lines, on all cores, with one bar
-- for the bytes that all workers have read.
--
--   luajit examples/convert.lua file.csv ...
--
-- Without files it makes some itself, in the folder for temporary files.

local sk = require "suitkaise"

local FILES, ROWS = 20, 5000 -- of the sample

-- ---- one file ----

local function split(line)
  local cells = {}
  for cell in (line .. ","):gmatch "([^,]*)," do cells[#cells + 1] = cell end
  return cells
end

local function json(text)
  if text:match "^-?[1-9]%d*$" or text == "0" then return text end
  return '"' .. text:gsub('[%c"\\]', function(c)
    return ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function object(names, cells)
  local members = {}
  for i, name in ipairs(names) do
    members[i] = json(name) .. ":" .. json(cells[i])
  end
  return "{" .. table.concat(members, ",") .. "}"
end

-- -> how many rows; raises when one has not as many cells as the first, or
-- when the system says no. `see(n)` is told of n bytes that were read.
local function convert(path, see)
  local input = assert(io.open(path))
  local output = assert(io.open((path:gsub("%.csv$", "") .. ".jsonl"), "w"))
  local names, rows = nil, -1
  for line in input:lines() do
    see(#line + 1)
    rows = rows + 1
    local cells = split((line:gsub("\r$", "")))
    names = names or cells
    if #cells ~= #names then
      error(("%s:%d: %d cells instead of %d"):format(path, rows + 1, #cells,
                                                     #names), 0)
    end
    if rows > 0 then assert(output:write(object(names, cells), "\n")) end
  end
  input:close()
  assert(output:close())
  return math.max(rows, 0)
end

-- ---- all of them ----

-- 0 for what cannot be read: that is said when its turn comes.
local function size_of(path)
  local file = io.open(path)
  local size = file and file:read(0) and file:seek "end" or 0
  if file then file:close() end
  return size
end

-- The same, with each file's bytes counted once, whatever becomes of it.
local function convert_seen(path, progress)
  local left = size_of(path)
  local function see(bytes)
    bytes = math.min(bytes, left)
    left = left - bytes
    progress:increment(bytes)
  end
  local ok, rows = pcall(convert, path, see)
  see(left)
  return ok and rows or error(rows, 0)
end

local function sample()
  local paths, name = {}, os.tmpname()
  os.remove(name)
  for i = 1, FILES do
    paths[i] = ("%s_%d.csv"):format(name, i)
    local file = assert(io.open(paths[i], "w"))
    file:write "id,name,score\n"
    for row = 1, ROWS do
      file:write(row, ",player ", row, ",", row % 97, "\n")
    end
    if i == FILES then file:write "one cell too few\n" end
    file:close()
  end
  return paths
end

local function convert_all(paths)
  local bytes = 0
  for _, path in ipairs(paths) do bytes = bytes + size_of(path) end
  local progress = sk.Progress(bytes):bar()
  local pool = sk.Pool{ on_error = "collect" }
  local future = pool:background():map(function(path)
    return convert_seen(path, progress)
  end, paths)
  repeat progress:wait(0.1) until future:done() -- the wait moves the bar
  local results = future:result()
  pool:close()
  return results
end

local function remove(paths)
  for _, path in ipairs(paths) do
    os.remove(path)
    os.remove((path:gsub("%.csv$", ".jsonl")))
  end
end

local paths = arg[1] and { (table.unpack or rawget(_G, "unpack"))(arg) }
  or sample()
local ok, results = pcall(convert_all, paths)
if not arg[1] then remove(paths) end
if not ok then error(results, 0) end -- Ctrl-C

local rows, failed = 0, 0
for _, result in ipairs(results) do
  if sk.is(result, "TaskError") then
    failed = failed + 1
    io.stderr:write(tostring(result.original_error), "\n")
  else
    rows = rows + result
  end
end
print(("%d files, %d rows, %d files failed"):format(#paths - failed, rows,
                                                    failed))
