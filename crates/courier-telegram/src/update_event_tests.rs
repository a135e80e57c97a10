//! The meaning of updates as the Bot API writes them.

use serde_json::{Value, json};

use super::*;

fn gone(addresses: &[&str]) -> Option<UpdateEvent> {
    Some(UpdateEvent::Gone(addresses.iter().map(|address| Address::new(*address)).collect()))
}

fn here(addresses: &[&str]) -> Option<UpdateEvent> {
    Some(UpdateEvent::Here(addresses.iter().map(|address| Address::new(*address)).collect()))
}

fn person() -> Value {
    json!({"id": 7, "type": "private", "first_name": "Anna", "username": "Anna"})
}

fn member(chat: Value, new: Value) -> Value {
    let user = json!({"id": 42, "is_bot": true, "first_name": "Bot", "username": "a_bot"});
    let of = |status: Value| {
        let mut all = json!({"user": user});
        all.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        all
    };
    json!({"update_id": 1, "my_chat_member": {
        "chat": chat, "from": {"id": 7, "is_bot": false, "first_name": "Anna"}, "date": 1_760_000_000,
        "old_chat_member": of(json!({"status": "left"})), "new_chat_member": of(new)}})
}

fn message(chat: Value, by_bot: bool, more: Value) -> Value {
    let mut message = json!({"message_id": 5, "date": 1_760_000_000, "chat": chat,
        "from": {"id": 7, "is_bot": by_bot, "first_name": "Anna"}});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"update_id": 2, "message": message})
}

#[test]
fn the_moment_of_an_update_is_read() {
    let at = Some(UnixMs(1_760_000_000_000));
    assert_eq!(moment(&member(person(), json!({"status": "member"}))), at);
    assert_eq!(moment(&message(person(), false, json!({}))), at);
    for date in [json!(-1), json!("1760000000"), json!(u64::MAX), json!(null)] {
        assert_eq!(moment(&message(person(), false, json!({"date": date}))), None);
    }
}

#[test]
fn a_person_who_blocks_the_bot_is_gone_and_one_who_unblocks_it_is_here() {
    let kicked = json!({"status": "kicked", "until_date": 0});
    assert_eq!(received(&member(person(), kicked)), gone(&["7"]));
    assert_eq!(received(&member(person(), json!({"status": "member"}))), here(&["7"]));
}

#[test]
fn groups_and_channels_are_known_by_id_and_name() {
    let group = || json!({"id": -100_123, "type": "supergroup", "title": "G", "username": "The_Group"});
    let both = ["-100123", "@the_group"];
    assert_eq!(received(&member(group(), json!({"status": "left"}))), gone(&both));
    assert_eq!(received(&member(group(), json!({"status": "kicked", "until_date": 0}))), gone(&both));
    assert_eq!(received(&member(group(), json!({"status": "member"}))), here(&both));
    let plain = json!({"id": -5, "type": "group", "title": "G"});
    assert_eq!(received(&member(plain, json!({"status": "left"}))), gone(&["-5"]));
    let channel = json!({"id": -1_009, "type": "channel", "title": "C"});
    let administrator = json!({"status": "administrator", "can_be_edited": false, "is_anonymous": false,
        "can_manage_chat": true, "can_delete_messages": true, "can_manage_video_chats": true,
        "can_restrict_members": true, "can_promote_members": false, "can_change_info": true,
        "can_invite_users": true, "can_post_stories": true, "can_edit_stories": true,
        "can_delete_stories": true, "can_post_messages": true, "can_edit_messages": true});
    assert_eq!(received(&member(channel, administrator)), here(&["-1009"]));
}

#[test]
fn a_restricted_bot_is_here_when_it_is_a_member() {
    let group = || json!({"id": -5, "type": "supergroup", "title": "G"});
    let restricted = |is_member: bool| {
        json!({"status": "restricted", "is_member": is_member, "until_date": 0, "can_send_messages": false,
            "can_send_audios": false, "can_send_documents": false, "can_send_photos": false,
            "can_send_videos": false, "can_send_video_notes": false, "can_send_voice_notes": false,
            "can_send_polls": false, "can_send_other_messages": false, "can_add_web_page_previews": false,
            "can_change_info": false, "can_invite_users": false, "can_pin_messages": false,
            "can_manage_topics": false})
    };
    assert_eq!(received(&member(group(), restricted(true))), here(&["-5"]));
    assert_eq!(received(&member(group(), restricted(false))), gone(&["-5"]));
}

#[test]
fn a_person_who_writes_to_the_bot_is_here_whatever_they_write() {
    for more in [json!({"text": "/start"}), json!({"hologram": {"id": 1}}), json!({})] {
        assert_eq!(received(&message(person(), false, more.clone())), here(&["7"]), "{more}");
    }
}

#[test]
fn messages_in_groups_and_by_bots_are_ignored() {
    let group = json!({"id": -5, "type": "group", "title": "G"});
    assert_eq!(received(&message(group, false, json!({"text": "x"}))), None);
    assert_eq!(received(&message(person(), true, json!({"text": "x"}))), None);
}

#[test]
fn an_update_that_can_not_be_parsed_is_ignored() {
    for strange in [
        json!({"update_id": 3, "hologram": {"from": 7}}),
        json!({"update_id": 3, "my_chat_member": {"chat": 7}}),
        json!({"update_id": 3, "message": "text"}),
        json!({"update_id": 3}),
        json!({"update_id": "three", "message": {}}),
        json!([]),
        json!(null),
        member(person(), json!({"status": "transcended"})),
    ] {
        assert_eq!(received(&strange), None, "{strange}");
    }
}

#[test]
fn a_group_that_moved_is_here_at_its_old_id() {
    let group = json!({"id": -5, "type": "group", "title": "G"});
    assert_eq!(received(&message(group, false, json!({"migrate_to_chat_id": -1_005}))), here(&["-5"]));
}
