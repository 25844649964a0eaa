-- SPDX-License-Identifier: LGPL-2.1-or-later
--
-- grow.lua N: tables and strings of about N elements or bytes, and sums of what
-- is in them.

local n = math.tointeger(tonumber(arg[1]))

local function sum(s)
	local a, b = 1, 0
	for i = 1, #s, 61 do
		a = (a + s:byte(i)) % 65521
		b = (b + a) % 65521
	end
	return string.format("%d bytes, %04x%04x", #s, b, a)
end

-- An array that grows by doubling, and one that is emptied and grows again.
local array = {}
for i = 1, n do
	array[i] = i * i % 1009
end
local total = 0
for i = 1, #array do
	total = total + array[i]
end
print("array", #array, total)
for i = n, n // 8, -1 do
	array[i] = nil
end
collectgarbage()
for i = n // 8, n // 2 do
	array[#array + 1] = i
end
print("again", #array, array[#array])

-- The hash part.
local hash = {}
for i = 1, n // 8 do
	hash["k" .. i] = i
end
total = 0
for _, v in pairs(hash) do
	total = total + v
end
print("hash", total)

-- Strings: buffers grow with what is put into them.
local parts = {}
for i = 1, n // 16 do
	parts[i] = string.format("%d;", i)
end
local text = table.concat(parts)
print("concat", sum(text))
print("gsub", sum((text:gsub("7", "seven"))))
print("rep", sum(text:rep(8)))
print("upper", sum(text:rep(4):reverse():upper()))
table.sort(parts)
print("sort", parts[1], parts[#parts // 2], parts[#parts])

-- Many tables of middling size at once, of which each third is let go.
local many = {}
for i = 1, 64 do
	many[i] = table.pack(table.unpack(array, 1, 200))
	for k = 1, n // 256 do
		many[i][#many[i] + 1] = k ~ i
	end
	if i % 3 == 0 then
		many[i] = false
	end
end
total = 0
for _, t in ipairs(many) do
	if t then
		for k = 1, #t do
			total = (total * 31 + t[k]) % 1000003
		end
	end
end
print("many", total)
