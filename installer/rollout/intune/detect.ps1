# Detection rule of the Intune app: this version or a later one is installed, and its service
# runs. Intune takes exit code 0 with a line of output as found.
$wanted = [version]'1.2.3'

# Intune runs scripts in a 32-bit process, whose ProgramFiles is another one.
$folder = if ($env:ProgramW6432) { $env:ProgramW6432 } else { $env:ProgramFiles }
$reach64 = Join-Path $folder 'Reach64\reach64.exe'
if (-not (Test-Path $reach64)) { exit 1 }

$have = (& $reach64 version --json | ConvertFrom-Json).result.version
if ([version]($have -replace '-.*$') -lt $wanted) { exit 1 }

& $reach64 status --check live
if ($LASTEXITCODE -ne 0) { exit 1 }
Write-Output "reach64 $have runs"
exit 0
