# Detection script of an Intune remediation: reports the endpoints that do not reach the backup
# server. Exit code 1 is a finding; what was seen is shown beside the device.
$folder = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }
$reach64 = Join-Path $folder 'Reach64\reach64.exe'

& $reach64 status --check path
$code = $LASTEXITCODE
# 12: not known yet. 13: stood down for another translator, or switched off.
if ($code -in 0, 12, 13) { exit 0 }

$said = & $reach64 status
Write-Output "exit code ${code}: $($said | Select-Object -First 1)"
exit 1
