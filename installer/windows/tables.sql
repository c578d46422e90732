-- What wixl does not know, for msibuild: one statement a line, in the SQL of Windows Installer.
-- installer/dist fills in what stands in braces.

-- What is replaced: all versions up to this one (256 + 512: both ends included), since the numbers of
-- a release and its candidates are the same to Windows.
INSERT INTO `Upgrade` (`UpgradeCode`, `VersionMin`, `VersionMax`, `Attributes`, `ActionProperty`) VALUES ('{A7E2C1B4-6D3F-4C58-9E21-0B64D5F17A90}', '0.0.0', '${VERSION}', 768, 'OLDER')

-- What an administrator may give to an elevated installation.
UPDATE `Property` SET `Value` = 'OLDER;NEWER;SERVER;PORT;MODE;SCOPE;LOGLEVEL;CONFIGFILE;NOSTART;INSTALLDIR;PURGE;WINDOWSMAJOR;REMEMBERED_SERVER;REMEMBERED_PORT;REMEMBERED_MODE;REMEMBERED_SCOPE;REMEMBERED_LOGLEVEL;REMEMBERED_NOSTART;REMEMBERED_INSTALLDIR' WHERE `Property` = 'SecureCustomProperties'

-- An expandable text (#%), which wixl 0.101 writes as a plain one.
UPDATE `Registry` SET `Value` = '#%%SystemRoot%\System32\EventCreate.exe' WHERE `Name` = 'EventMessageFile'

-- The folder in PATH, for the machine (*), taken out again on removal (-).
CREATE TABLE `Environment` (`Environment` CHAR(72) NOT NULL, `Name` CHAR(255) NOT NULL LOCALIZABLE, `Value` CHAR(255) LOCALIZABLE, `Component_` CHAR(72) NOT NULL PRIMARY KEY `Environment`)
INSERT INTO `Environment` (`Environment`, `Name`, `Value`, `Component_`) VALUES ('path', '=-*PATH', '[~];[INSTALLDIR]', 'program')
INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`) VALUES ('RemoveEnvironmentStrings', 3300)
INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`) VALUES ('WriteEnvironmentStrings', 5200)

-- What is said when Setup fails, in place of 'a program did not finish as expected'.
INSERT INTO `Error` (`Error`, `Message`) VALUES (1722, 'reach64 was not installed: its configuration was refused, or its service did not start. What is wrong stands in the Application event log, source reach64. {{Action [2], command: [4]}}')
