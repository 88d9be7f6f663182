-- Finds files. Lua has no way to list a folder, so a shell does it; names may
-- hold anything that a file system allows, so they are quoted on the way
-- there and end with a zero byte on the way back.

local listing = {}

-- Each record is a letter and a name or text:
--   m  no such file or folder, of those given
--   f  a file
--   l  a symbolic link that leads nowhere; the others are not followed, so
--      that no file counts twice and no loop is entered
--   s  a device, pipe or socket: opening one might wait for ever
--   e  what find complained about
local SCRIPT = [[
LC_ALL=C; export LC_ALL
for path do [ -e "$path" ] || printf 'm%s\0' "$path"; done
exec 3>&1
complaints=$(find -H "$@" \
  -type d -o \
  -type f -exec printf 'f%s\0' {} + -o \
  -type l -exec sh -c \
    'for l do [ -e "$l" ] || printf "l%s\0" "$l"; done' sh {} + -o \
  -exec printf 's%s\0' {} + 2>&1 >&3)
printf 'e%s\0' "$complaints"
]]

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- find would take these for options.
local function plain_path(path)
  return path:find "^[-(),!]" and "./" .. path or path
end

local function run(script, arguments)
  local words = {}
  for i, path in ipairs(arguments) do words[i] = quote(plain_path(path)) end
  local pipe = io.popen("set -- " .. table.concat(words, " ") .. "\n"
                        .. script, "r")
  local output = pipe:read "*a"
  pipe:close()
  return output
end

local function records(output)
  local from = 1
  return function()
    local stop = output:find("\0", from, true)
    if not stop then return nil end
    local letter, text = output:sub(from, from), output:sub(from + 1, stop - 1)
    from = stop + 1
    return letter, text
  end
end

-- "find: './x': Permission denied" and the like.
local function add_complaints(text, skipped)
  for line in text:gmatch "[^\n]+" do
    local path, why = line:match "^find: (.+): ([^:]+)$"
    path = path and path:match "^'(.*)'$" or path or line
    skipped[path] = why or "not listed"
  end
end

--- All files below some paths whose names `is_wanted` accepts.
-- @tparam {string,...} paths folders or files
-- @tparam function is_wanted name -> boolean
-- @treturn {string,...} the files, sorted; or nil
-- @treturn {[string]=string,...} what is left out, and why; or the message
function listing.files(paths, is_wanted)
  local files, skipped, seen = {}, {}, {}
  for letter, text in records(run(SCRIPT, paths)) do
    if letter == "m" then
      return nil, "no such file or folder: " .. text
    elseif letter == "e" then
      add_complaints(text, skipped)
    elseif is_wanted(text) and not seen[text] then
      seen[text] = true
      if letter == "f" then files[#files + 1] = text end
      if letter == "l" then skipped[text] = "broken symbolic link" end
      if letter == "s" then skipped[text] = "not a regular file" end
    end
  end
  table.sort(files)
  return files, skipped
end

return listing
