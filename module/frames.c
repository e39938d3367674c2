// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frame -> (tracker, virtual page). One word a frame, in leaves of 512 frames that are allocated when the first of them
 * is tagged. Most frames belong to one virtual page of one tracker, and the word says so itself; a frame with more
 * (memory shared by two tracked processes, or mapped twice) has a list.
 *
 * Writers hold ooh_hv_mutex and frames_lock; readers hold one of them, or only look whether there is a tag, under RCU.
 */
#include <linux/slab.h>

#include "ooh_mod.h"

#define LEAF_SHIFT 9
#define LEAF_SIZE  (1ul << LEAF_SHIFT)

/* Word: 0: nobody. Bit 0 set: one tag. Else: pointer to the first struct link. */
#define TAG_ONE      1ull
#define TAG_VPN_BITS 45 /* 57-bit addresses */

struct link {
	struct link *next;
	u64 tag;
};

struct leaf {
	u64 word[LEAF_SIZE];
};

static DEFINE_SPINLOCK(frames_lock);
static DEFINE_XARRAY(leaves);
static u64 nr_tags; /* H and F to write */

static u64 tag_make(unsigned int id, unsigned long vpn)
{
	return TAG_ONE | (u64)vpn << 1 | (u64)id << (TAG_VPN_BITS + 1);
}

static unsigned long tag_vpn(u64 tag)
{
	return (tag >> 1) & (BIT_ULL(TAG_VPN_BITS) - 1);
}

static unsigned int tag_id(u64 tag)
{
	return tag >> (TAG_VPN_BITS + 1);
}

static u64 *word_of(unsigned long pfn)
{
	struct leaf *leaf = xa_load(&leaves, pfn >> LEAF_SHIFT);

	return leaf ? &leaf->word[pfn & (LEAF_SIZE - 1)] : NULL;
}

static u64 *word_alloc(unsigned long pfn)
{
	u64 *word = word_of(pfn);
	struct leaf *leaf;

	if (word)
		return word;
	leaf = (void *)get_zeroed_page(GFP_KERNEL);
	if (!leaf)
		return NULL;
	if (xa_err(xa_store(&leaves, pfn >> LEAF_SHIFT, leaf, GFP_KERNEL))) {
		free_page((unsigned long)leaf);
		return NULL;
	}
	return word_of(pfn);
}

static struct link *word_list(u64 word)
{
	return word & TAG_ONE ? NULL : (struct link *)(unsigned long)word;
}

static bool word_has(u64 word, u64 tag)
{
	const struct link *l;

	if (word == tag)
		return true;
	for (l = word_list(word); l; l = l->next)
		if (l->tag == tag)
			return true;
	return false;
}

static struct link *link_new(u64 tag, struct link *next)
{
	struct link *l = kmalloc(sizeof(*l), GFP_KERNEL_ACCOUNT);

	if (l) {
		l->tag = tag;
		l->next = next;
	}
	return l;
}

/* The word that has tag beside what old has. 0: no memory. */
static u64 word_with(u64 old, u64 tag)
{
	struct link *first, *second;

	if (!old)
		return tag;
	first = word_list(old);
	if (!first) {
		first = link_new(old, NULL);
		if (!first)
			return 0;
		second = link_new(tag, first);
		if (!second)
			kfree(first);
		return (unsigned long)second;
	}
	return (unsigned long)link_new(tag, first);
}

/* Adds a tag; adding one twice is good. H is held. -ENOMEM. */
int ooh_frame_tag(unsigned long pfn, unsigned int id, unsigned long vpn)
{
	const u64 tag = tag_make(id, vpn);
	u64 *word = word_alloc(pfn), new;

	lockdep_assert_held(&ooh_hv_mutex);
	if (!word)
		return -ENOMEM;
	if (*word && word_has(*word, tag))
		return 0;
	new = word_with(*word, tag);
	if (!new)
		return -ENOMEM;
	spin_lock(&frames_lock);
	WRITE_ONCE(*word, new);
	WRITE_ONCE(nr_tags, nr_tags + 1);
	spin_unlock(&frames_lock);
	return 0;
}

/* Takes tag out of a word with a list. Returns the link to free. */
static struct link *list_remove(u64 *word, u64 tag)
{
	struct link *l = word_list(*word), *prev = NULL;

	for (; l && l->tag != tag; l = l->next)
		prev = l;
	if (!l)
		return NULL;
	if (prev)
		prev->next = l->next;
	else
		WRITE_ONCE(*word, (unsigned long)l->next);
	return l;
}

/* Removes a tag. H is held. Returns whether it was the frame's last (the caller then disarms the frame). */
bool ooh_frame_untag(unsigned long pfn, unsigned int id, unsigned long vpn)
{
	const u64 tag = tag_make(id, vpn);
	u64 *word = word_of(pfn);
	struct link *dead = NULL;
	bool last = false;

	lockdep_assert_held(&ooh_hv_mutex);
	if (!word || !*word || !word_has(*word, tag))
		return false;
	spin_lock(&frames_lock);
	if (*word == tag)
		WRITE_ONCE(*word, 0);
	else
		dead = list_remove(word, tag);
	last = !*word;
	WRITE_ONCE(nr_tags, nr_tags - 1);
	spin_unlock(&frames_lock);
	kfree(dead);
	return last;
}

/* What the last of many frames was, since the next is mostly like it. */
struct lookup {
	unsigned long at; /* number of the leaf */
	struct leaf *leaf;
	unsigned int id;
	struct ooh_tracker *t;
};

static u64 look_up(struct lookup *l, unsigned long pfn)
{
	if (pfn >> LEAF_SHIFT != l->at) {
		l->at = pfn >> LEAF_SHIFT;
		l->leaf = xa_load(&leaves, l->at);
	}
	return l->leaf ? l->leaf->word[pfn & (LEAF_SIZE - 1)] : 0;
}

static void call(struct lookup *l, u64 tag, unsigned long pfn, ooh_frame_fn fn, void *arg)
{
	if (tag_id(tag) != l->id) {
		l->id = tag_id(tag);
		l->t = ooh_tracker_by_id(l->id);
	}
	if (l->t)
		fn(l->t, tag_vpn(tag), pfn, arg);
}

/* Calls fn, which must not sleep, for each tag of each frame. Returns how many frames had one. Any context but NMI. */
unsigned int ooh_frames_for_each(const u64 *pfn, unsigned int nr, ooh_frame_fn fn, void *arg)
{
	struct lookup last = { .at = ULONG_MAX };
	const struct link *l;
	unsigned int i, n = 0;
	u64 word;

	spin_lock(&frames_lock);
	for (i = 0; i < nr; i++) {
		word = look_up(&last, pfn[i]);
		n += !!word;
		if (word & TAG_ONE)
			call(&last, word, pfn[i], fn, arg);
		else
			for (l = word_list(word); l; l = l->next)
				call(&last, l->tag, pfn[i], fn, arg);
	}
	spin_unlock(&frames_lock);
	return n;
}

/* Without a lock: for callers that first changed what a tagger looks at after it tagged. */
bool ooh_frame_tagged(unsigned long pfn)
{
	bool tagged = false;
	u64 *word;

	if (!READ_ONCE(nr_tags))
		return false;
	rcu_read_lock();
	word = word_of(pfn);
	if (word)
		tagged = READ_ONCE(*word);
	rcu_read_unlock();
	return tagged;
}

u64 ooh_frames_count(void)
{
	return READ_ONCE(nr_tags);
}

static void word_free(u64 *word)
{
	struct link *l = word_list(*word), *next;

	for (; l; l = next) {
		next = l->next;
		kfree(l);
	}
	*word = 0;
}

/* No tracker is started: whatever tags a revoked one left go with the leaves. H is held. */
void ooh_frames_free(void)
{
	unsigned long index, i;
	struct leaf *leaf;

	lockdep_assert_held(&ooh_hv_mutex);
	if (nr_tags) {
		spin_lock(&frames_lock);
		xa_for_each(&leaves, index, leaf)
			for (i = 0; i < LEAF_SIZE; i++)
				word_free(&leaf->word[i]);
		WRITE_ONCE(nr_tags, 0);
		spin_unlock(&frames_lock);
	}
	synchronize_rcu(); /* of readers without the lock; later ones see that there are no tags */
	xa_for_each(&leaves, index, leaf) {
		xa_erase(&leaves, index);
		free_page((unsigned long)leaf);
	}
}
