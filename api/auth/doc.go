// Package auth keeps the tokens that clients log in with: the file that holds them, and whom each stands for.
//
//   - A token is 256 random bits. It is shown when it is made and kept nowhere: the file has its SHA-256, which is enough for
//     so many bits that nobody guesses.
//   - The file is changed as a whole or not at all, also by two processes at once, and outlives a crash at any point. A file
//     that others could read or write is not taken, nor one with anything in it that is not understood.
//   - Tokens judges logins by what the file said when it was last read without a fault. What a login stands for lives until
//     its token is taken out, changed or expired; the end of that life says why.
//   - A token that is right is never refused because others from the same address were wrong: proxies and Unix sockets make
//     many clients one address, and no number of tries finds a token. What the limit holds down is the noise.
package auth
