-- SPDX-License-Identifier: GPL-2.0
-- What wrk has measured, as the programs of bench/ say it.
function done(summary, latency)
	local e = summary.errors

	print(string.format("sample errors %d", e.connect + e.read + e.write + e.status + e.timeout))
	print(string.format("sample requests %d", summary.requests))
	print(string.format("sample rate %.1f", summary.requests / summary.duration * 1e6))
	print(string.format("sample p50 %d", latency:percentile(50) * 1000))
	print(string.format("sample p99 %d", latency:percentile(99) * 1000))
end
