#!/bin/sh
# Extension attribute for Jamf Pro (any system takes it as a check): one word for how the
# backup servers are reached.
if [ ! -x /usr/local/bin/reach64 ]; then
	echo "<result>not installed</result>"
	exit 0
fi
/usr/local/bin/reach64 status --check path >/dev/null 2>&1
case $? in
0) word=reached ;;
3) word="not running" ;;
10) word="some not reached" ;;
11) word="not reached" ;;
12) word="not known yet" ;;
13) word="stood down" ;;
*) word="not to be asked" ;;
esac
echo "<result>$word</result>"
