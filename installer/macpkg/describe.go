package macpkg

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// info is PackageInfo: what the component installs and runs.
func (p Package) info(files []File) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="utf-8"?>
<pkg-info format-version="2" identifier="%s" version="%s" install-location="/" auth="root" overwrite-permissions="true" relocatable="false" postinstall-action="none">
    <payload numberOfFiles="%d" installKBytes="%d"/>
`, escape(p.Identifier), escape(p.Version), len(files), kilobytes(files))
	if p.Preinstall != nil || p.Postinstall != nil {
		b.WriteString("    <scripts>\n")
		if p.Preinstall != nil {
			b.WriteString("        <preinstall file=\"./preinstall\"/>\n")
		}
		if p.Postinstall != nil {
			b.WriteString("        <postinstall file=\"./postinstall\"/>\n")
		}
		b.WriteString("    </scripts>\n")
	}
	b.WriteString("</pkg-info>\n")
	return b.Bytes()
}

// distribution is what the installer shows and requires. Nothing is asked, and
// nothing but the one component can be chosen.
func (p Package) distribution(files []File) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="utf-8"?>
<installer-gui-script minSpecVersion="2">
    <title>%s</title>
    <options customize="never" require-scripts="false" hostArchitectures="%s" rootVolumeOnly="true"/>
    <domains enable_anywhere="false" enable_currentUserHome="false" enable_localSystem="true"/>
    <volume-check><allowed-os-versions><os-version min="%s"/></allowed-os-versions></volume-check>
`, escape(p.Title), escape(p.Host), escape(p.MinOS))
	if p.Licence != nil {
		b.WriteString("    <license file=\"LICENSE.txt\" mime-type=\"text/plain\"/>\n")
	}
	fmt.Fprintf(&b, `    <choices-outline><line choice="default"/></choices-outline>
    <choice id="default" title="%[1]s"><pkg-ref id="%[2]s"/></choice>
    <pkg-ref id="%[2]s" version="%[3]s" onConclusion="none" installKBytes="%[4]d">#%[5]s</pkg-ref>
</installer-gui-script>
`, escape(p.Title), escape(p.Identifier), escape(p.Version), kilobytes(files), componentName)
	return b.Bytes()
}

func kilobytes(files []File) (n int) {
	for _, f := range files {
		n += (len(f.Data) + 1023) / 1024
	}
	return n
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}
