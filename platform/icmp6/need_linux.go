package icmp6

// need is what opening the socket needs.
const need = "CAP_NET_RAW"
